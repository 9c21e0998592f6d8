"""What every process tells of itself: what runs, what it takes of the machine, when its certificates end."""

import os
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

import martlet
from martlet.errors import Corrupt
from martlet.runtime.certificate_expiry import first_expiry
from martlet.runtime.read_gauge import ReadGauge, Readings
from martlet.runtime.server_tls import ServerTls


def watch_process(collectors: CollectorRegistry, service: str, data_dir: Path, tls: ServerTls | None) -> None:
    """Registers it, under `martlet_<service>_…` and the names that all Prometheus clients use for processes."""
    ProcessCollector(registry=collectors)
    PlatformCollector(registry=collectors)
    GCCollector(registry=collectors)
    runs: Readings = {(martlet.__version__, platform.python_version()): 1.0}
    gauges: dict[str, tuple[str, tuple[str, ...], Callable[[], Readings]]] = {
        "build_info": ("What runs", ("version", "python"), lambda: runs),
        "disk_free_bytes": ("Free in the data directory's file system", ("folder",), partial(_disk, data_dir, "free")),
        "disk_size_bytes": ("Size of that file system", ("folder",), partial(_disk, data_dir, "size")),
        "certificate_expiry_timestamp_seconds": (
            "When the first certificate of a file ends, in seconds since 1970",
            ("certificate",),
            partial(certificate_expiries, tls),
        ),
    }
    for name, (told, labels, read) in gauges.items():
        ReadGauge(f"martlet_{service}_{name}", told, labels, read, collectors)


def certificate_expiries(tls: ServerTls | None) -> Readings:
    """Of what this process shows (`own`), and of those that it trusts callers by (`client_ca`); none without TLS."""
    if tls is None:
        return {}
    own, _key, client_ca = tls.parts
    return {
        (name,): expiry
        for name, pem in (("own", own), ("client_ca", client_ca))
        if pem is not None and (expiry := _expiry(pem))
    }


def _expiry(pem: bytes) -> float:
    """0: it cannot be read."""
    try:
        return first_expiry(pem)
    except Corrupt:
        return 0.0


def _disk(folder: Path, what: str) -> Readings:
    """In bytes; free: for who is not root. Nothing while the folder is not there."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return {}
    blocks = found.f_bavail if what == "free" else found.f_blocks
    return {("data",): float(blocks * found.f_frsize)}
