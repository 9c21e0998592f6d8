"""The judge's cursor: reads the log a second time, never rewinds, and reports labelled evidence to the registry."""
