"""Texts of items as vectors: a frozen sentence encoder, what it said so far, and items that carry the result."""
