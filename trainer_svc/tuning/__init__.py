"""Tuning: which settings would have learned best from this log, by rolling-origin tests in event time."""
