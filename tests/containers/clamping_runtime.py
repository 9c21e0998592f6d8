"""An OCI runtime for machines whose root may not raise its own limits (no CAP_SYS_RESOURCE): runc, asking for less.

Podman asks for limits of open files and processes that may lie above what this process was given; runc would refuse
to start the container. Here each is lowered to what is allowed, in the container's or the command's description, and
runc does the rest.

Run as a program by podman, with runc's arguments; it imports nothing of the repository.
"""

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

RUNC = "runc"


def lowered(limits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The limits as far as this process has them itself."""
    return [_lowered(limit) for limit in limits]


def _lowered(limit: dict[str, Any]) -> dict[str, Any]:
    allowed = resource.getrlimit(getattr(resource, limit["type"]))[1]
    if allowed == resource.RLIM_INFINITY:
        return limit
    return {**limit, "hard": min(limit["hard"], allowed), "soft": min(limit["soft"], limit["hard"], allowed)}


def rewrite(arguments: list[str]) -> None:
    """Lowers the limits in the file that this call of runc is going to read, if it is going to read one."""
    if "create" in arguments:
        _rewrite_container(Path(_option(arguments, "--bundle", "-b") or ".") / "config.json")
    elif "exec" in arguments and (process := _option(arguments, "--process", "-p")):
        described = json.loads(Path(process).read_text())
        described["rlimits"] = lowered(described.get("rlimits") or [])
        Path(process).write_text(json.dumps(described))


def _rewrite_container(path: Path) -> None:
    described = json.loads(path.read_text())
    described["process"]["rlimits"] = lowered(described["process"].get("rlimits") or [])
    path.write_text(json.dumps(described))


def _option(arguments: list[str], *names: str) -> str:
    for argument, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument in names:
            return value
        for name in names:
            if argument.startswith(f"{name}="):
                return argument.partition("=")[2]
    return ""


if __name__ == "__main__":
    rewrite(sys.argv[1:])
    os.execvp(RUNC, [RUNC, *sys.argv[1:]])
