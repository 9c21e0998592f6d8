"""The echo models as the other servers' users would write them. Each runs in its server's own environment."""
