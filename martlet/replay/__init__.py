"""Recorded behaviour as live traffic against a running Martlet."""
