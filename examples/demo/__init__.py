"""The demo: the whole loop on real data, with real processes and real gRPC, and what came of it."""
