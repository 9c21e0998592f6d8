"""The trainer's edge: decode, call, encode."""
