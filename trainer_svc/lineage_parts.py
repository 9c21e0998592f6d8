"""What of a lineage is on disk, opened: its journal, checkpoints, founding states, dead letters."""

from pathlib import Path
from typing import Final

from martlet.eventlog.erasure import FileEventEraser, erased
from martlet.eventlog.file_log import FileEventReader, FileEventWriter
from martlet.eventlog.trimming import FileEventTrimmer
from trainer_svc.checkpoints.folder import FolderCheckpoints
from trainer_svc.journal import JOURNAL_SEGMENT, PARTITION, LogJournal
from trainer_svc.strategies.founding import FoundingFolder
from trainer_svc.strategies.lineage_folders import FIRST, LineageFolders

LETTER_PARTITION: Final = "trainer"
CHECKPOINTS: Final = "checkpoints"


class LineageParts:
    """One lineage's. Opening takes its journal's lock.

    Args:
        lineage: the folder's name (see `LineageFolders`).
        letters: the folder of dead letters.
        kept: how many checkpoints stay.
        held: see `FolderCheckpoints`.

    Raises:
        Conflict: another process has it open.
    """

    def __init__(
        self, folders: LineageFolders, lineage: str, letters: Path, kept: int, held: int | None = None
    ) -> None:
        self.name = lineage
        folder = folders.path(lineage)
        self.letter_partition = LETTER_PARTITION if lineage == FIRST else f"{LETTER_PARTITION}-{lineage}"
        self._folders = folders
        self._writer = FileEventWriter(folder, PARTITION, segment_bytes=JOURNAL_SEGMENT)
        self.letter_writer = FileEventWriter(letters, self.letter_partition)
        self._eraser = FileEventEraser(folder)
        self._eraser.finish()  # before anything is read, and under the journal's lock
        self.trimmer = FileEventTrimmer(folder, PARTITION)
        self.trimmer.finish()
        self._reader = FileEventReader(folder)
        self.letter_reader = FileEventReader(letters)
        self.journal = LogJournal(self._writer, self._reader)
        self.checkpoints = FolderCheckpoints(folder / CHECKPOINTS, kept, held=held)
        self.foundings = FoundingFolder(folder)

    def scrub(self, start: int) -> None:
        """Erases the journal's entry that starts there, and all else that may know a user whom it names.

        Nobody goes back behind it any more, so not to another lineage or to what this one began as either.
        """
        entry = self._reader.read(PARTITION, start, 1)[0]
        self.foundings.clear()
        self._folders.drop_others(self.name)
        self._eraser.replace(PARTITION, {start: erased(len(entry.payload))})

    def close(self) -> None:
        """Gives the lock back."""
        for writer in (self._writer, self.letter_writer):
            writer.close()
        for reader in (self._reader, self.letter_reader):
            reader.close()
