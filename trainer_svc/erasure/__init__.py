"""Forgetting a user: from the tables at once, from the log and the versions as soon as nobody goes back to them."""
