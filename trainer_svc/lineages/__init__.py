"""What makes a lineage's state: which model it learns, its first entry, its settings' pace, and the state itself."""
