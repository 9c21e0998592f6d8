"""The registry's servicer: decode, call, encode."""
