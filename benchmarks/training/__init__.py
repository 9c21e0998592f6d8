"""What training costs: the table, the step, and the way from the log to a commit."""
