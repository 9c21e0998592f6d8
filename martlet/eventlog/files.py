"""The embedded event log as a whole: a folder."""

from pathlib import Path

from martlet.eventlog.erasure import FileEventEraser
from martlet.eventlog.file_log import FileEventReader, FileEventWriter


class FileEventLog:
    """See `martlet.eventlog.port.EventLog`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def writer(self, partition: str, queue_limit: int) -> FileEventWriter:
        """Takes the partition's lock."""
        return FileEventWriter(self._root, partition, queue_limit)

    def reader(self) -> FileEventReader:
        """A reader of its own."""
        return FileEventReader(self._root)

    def eraser(self) -> FileEventEraser:
        """An eraser."""
        return FileEventEraser(self._root)

    def close(self) -> None:
        """Nothing is shared."""
