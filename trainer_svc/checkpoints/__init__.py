"""Checkpoints: a base, and a log of what changed since, from which a restart goes on."""
