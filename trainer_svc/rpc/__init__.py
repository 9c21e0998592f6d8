"""The trainer's servicer: decode, call, encode."""
