"""Serving measured: a stage with real services, a load that is pinned apart from them, and the figures."""
