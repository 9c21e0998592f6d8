"""Files that appear whole and are never changed: held open together, so that a set of them can be copied in peace."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from martlet.backup.partitions import belongs_to_partition
from martlet.backup.record import files_below
from martlet.errors import Unavailable

TRIES: Final = 50
PAUSE_SECONDS: Final = 0.05
ASIDE: Final = (".part", ".damaged")  # on their way, or set aside


@contextmanager
def held_open(roots: Iterable[Path]) -> Iterator[dict[Path, BinaryIO]]:
    """All whole files below some folders at one moment, open: who removes one afterwards does no harm.

    Raises:
        Unavailable: they never stood still.
    """
    folders = list(roots)
    with ExitStack() as open_files:
        yield _all_open(folders, open_files)


def copy_held(held: dict[Path, BinaryIO], source: Path, target: Path) -> None:
    """Copies what is held open, below `source`, to the same places below `target`, durably."""
    for path, file in held.items():
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with copy.open("wb") as to:
            shutil.copyfileobj(file, to, 1 << 20)
            to.flush()
            os.fsync(to.fileno())


def _all_open(folders: list[Path], open_files: ExitStack) -> dict[Path, BinaryIO]:
    for _ in range(TRIES):
        before = _whole(folders)
        try:
            held: dict[Path, BinaryIO] = {path: open_files.enter_context(path.open("rb")) for path in before}
        except FileNotFoundError:
            held = {}
        if held.keys() == set(_whole(folders)):
            return held
        open_files.close()
        time.sleep(PAUSE_SECONDS)
    raise Unavailable("the trainer's files never stood still")


def _whole(folders: list[Path]) -> list[Path]:
    return [path for folder in folders for path in files_below(folder) if _is_whole(path)]


def _is_whole(path: Path) -> bool:
    aside = path.suffix in ASIDE or path.name.startswith(".part-")
    return not aside and not belongs_to_partition(path)
