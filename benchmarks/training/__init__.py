"""What training costs, and that it learns exactly once."""
