"""Prints what the project needs with some extras, one requirement a line, the project itself left out.

`python3 requirements.py serving,signing pyproject.toml`. So a layer of dependencies depends on `pyproject.toml` alone,
and a changed line of Martlet rebuilds none.
"""

import sys
import tomllib
from pathlib import Path


def requirements(project: dict[str, object], extras: list[str]) -> list[str]:
    """The dependencies and those of the extras.

    Raises:
        KeyError: there is no such extra.
    """
    needed, optional = project["dependencies"], project["optional-dependencies"]
    assert isinstance(needed, list)
    assert isinstance(optional, dict)
    return [*needed, *(one for extra in extras for one in optional[extra])]


if __name__ == "__main__":
    _, wanted, described = sys.argv
    project = tomllib.loads(Path(described).read_text())["project"]
    lines = requirements(project, [extra for extra in wanted.split(",") if extra])
    sys.stdout.writelines(f"{line}\n" for line in lines)
