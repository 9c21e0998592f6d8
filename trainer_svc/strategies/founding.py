"""The states that lineages begin as: one file each, named by its digest, which stands in the lineage's journal.

However such a state came to be (a parent's weights by name, a file of vectors, a backfill), from it on the lineage is a
function of its journal and of the log. The file is a state's safetensors (see `trainer_svc.checkpoints.state`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from martlet.digest import blob_digest
from martlet.durable import write_durably
from martlet.errors import Corrupt
from trainer_svc.checkpoints.state import encode_state
from trainer_svc.training_ports import Arrays

_SUFFIX: Final = ".founding.safetensors"


class FoundingFolder:
    """The founding states in a lineage's folder. Blocking."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, state: Mapping[str, npt.NDArray[Any]]) -> str:
        """Writes a state durably; gives its digest."""
        encoded = encode_state(state)
        digest = blob_digest(encoded)
        write_durably(self._path(digest), memoryview(encoded))
        return digest

    def load(self, digest: str, /) -> Arrays:
        """The state of a digest.

        Raises:
            Corrupt: it is not there, or damaged.
        """
        try:
            encoded = self._path(digest).read_bytes()
        except FileNotFoundError as error:
            raise Corrupt(f"the state {digest} that the lineage begins as is not in {self._folder}") from error
        if blob_digest(encoded) != digest:
            raise Corrupt(f"{self._path(digest)} is damaged")
        try:
            return dict(load(encoded))
        except SafetensorError as error:
            raise Corrupt(f"{self._path(digest)}: {error}") from error

    def clear(self) -> None:
        """Removes them: what they know of a forgotten user must not stay."""
        for path in self._folder.glob("*" + _SUFFIX):
            path.unlink()

    def _path(self, digest: str) -> Path:
        return self._folder / (digest.replace("/", "_") + _SUFFIX)
