"""What a backup says of itself: `backup.json`, format 1. It is written last: a folder without it is no backup yet."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from martlet.decoding import UNREADABLE
from martlet.digest import blob_digest
from martlet.durable import write_durably
from martlet.errors import Corrupt, NotFound

BACKUP_FORMAT: Final = 1
RECORD: Final = "backup.json"
BEGUN: Final = "backup.begun"


class BackupFile(msgspec.Struct, frozen=True):
    """One file of a backup: its place in the data directory, its size in bytes, its tree digest."""

    path: str
    size: int
    digest: str


class BackupRecord(msgspec.Struct, frozen=True):
    """A backup.

    Attributes:
        martlet: the release that took it.
        taken_us: wall time of its moment, microseconds since 1970-01-01 UTC.
        marks: each partition's folder → where it ends in the backup.
        versions: model → its newest version.
        elsewhere: part → where it stands, if that is not in the data directory; such a part is not in the backup.
        files: all of it, sorted by path.
    """

    martlet: str
    taken_us: int
    marks: dict[str, int]
    versions: dict[str, int]
    elsewhere: dict[str, str]
    files: tuple[BackupFile, ...]
    format: int = BACKUP_FORMAT

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


class _Head(msgspec.Struct):
    format: int


def write_record(folder: Path, record: BackupRecord) -> None:
    """Makes a backup of what the folder holds."""
    write_durably(folder / RECORD, memoryview(msgspec.json.format(msgspec.json.encode(record), indent=1)))


def read_record(folder: Path) -> BackupRecord:
    """What a folder says of itself.

    Raises:
        NotFound: it is no backup, or one that was never finished.
        Corrupt: unreadable, or of another format.
    """
    try:
        encoded = (folder / RECORD).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        unfinished = (folder / BEGUN).exists()
        raise NotFound(
            f"{folder} is a backup that was never finished: take it again" if unfinished else f"{folder} is no backup"
        ) from None
    try:
        found = msgspec.json.decode(encoded, type=_Head).format
        if found != BACKUP_FORMAT:
            raise Corrupt(f"{folder} is a backup of format {found}, which is not known here (known: {BACKUP_FORMAT})")
        return msgspec.json.decode(encoded, type=BackupRecord)
    except UNREADABLE as error:
        raise Corrupt(f"{folder / RECORD}: {error}") from error


def file_digest(path: Path) -> str:
    """The tree digest of a file. Blocks; maps the file."""
    if path.stat().st_size == 0:
        return blob_digest(b"")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return blob_digest(data)


def check_file(folder: Path, file: BackupFile) -> None:
    """Compares a file with its record.

    Raises:
        Corrupt: it is not what it was.
    """
    path = folder / file.path
    if not path.is_file():
        raise Corrupt(f"{path} is missing")
    if path.stat().st_size != file.size or file_digest(path) != file.digest:
        raise Corrupt(f"{path} is damaged: it does not match the digest of the backup")


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, sorted."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
