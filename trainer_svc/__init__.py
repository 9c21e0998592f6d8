"""The trainer: learns from the event log as it grows, and publishes versions."""
