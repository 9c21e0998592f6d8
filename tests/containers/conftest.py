"""Podman and the product's images, for tests of what runs in containers."""

from pathlib import Path
from typing import Final

import pytest

from tests.containers.images import Images, built_images
from tests.containers.podman import Podman, engine

HERE: Final = Path(__file__).parent
BUILD_SECONDS: Final = 900  # whichever test comes first waits for the images


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test comes first waits for the images; `make test` runs this folder in one process."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.timeout(BUILD_SECONDS))


@pytest.fixture(scope="session")
def podman() -> Podman:
    """Podman of this machine, set up for it."""
    return engine()


@pytest.fixture(scope="session")
def images(podman: Podman) -> Images:
    """The three images, built if they are not there in just this content."""
    return built_images(podman)
