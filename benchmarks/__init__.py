"""Benchmarks: each measures the code that ships, and writes its figures to out/bench."""
