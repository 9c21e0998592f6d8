"""What serving costs and how well it retrieves."""
