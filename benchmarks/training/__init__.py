"""What training costs: tables, steps, and the way from the log to the commit."""
