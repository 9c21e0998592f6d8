"""The databases that a catalog can be on."""

from pathlib import Path

import pytest

DATABASES = ("sqlite", "postgresql")


def url_of(request: pytest.FixtureRequest, folder: Path) -> str:
    """The URL of an empty database of the kind that the test asks for; a folder for SQLite."""
    if request.param == "sqlite":
        return f"sqlite:///{folder / 'catalog.db'}"
    return str(request.getfixturevalue("postgres_url"))
