"""The event log: partitions with one writer each; an append is acknowledged after it is on disk."""
