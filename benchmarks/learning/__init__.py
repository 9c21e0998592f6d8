"""What learning all the time is worth, measured on real logs."""
