"""Transfer learning: what a frozen text encoder knows of an item that nobody has tried yet."""
