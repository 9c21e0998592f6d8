"""Clients of Martlet's services: typed results, the domain's errors, retries where they do no harm."""
