"""Backfill: history from elsewhere becomes a learned base; the log is learned from a stated place on."""
