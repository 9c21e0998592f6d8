"""Prometheus' own linter of metrics pages."""

import subprocess


def promtool_faults(page: str) -> str:
    """What `promtool check metrics` says; "": nothing. It comes with Debian's package `prometheus`."""
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr
