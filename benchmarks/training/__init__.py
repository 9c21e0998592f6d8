"""What training costs, from the table to the log, and that it learns exactly once."""
