"""Where the lineages of one data directory lie, and which of them is live.

The first lineage lies in the trainer's own folder; a strategy's run, which is a lineage too, in `lineages/<name>`. The
file `live.json` (format 1) names the live one; without it the first is. It changes by one rename, after the registry
has made a version of another lineage the head. Nothing that is learned within a lineage depends on it.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from martlet.durable import write_durably
from martlet.errors import Corrupt
from martlet.eventlog.file_log import FileEventReader
from trainer_svc.hand_over import Head
from trainer_svc.journal import PARTITION, Acknowledged, Forgot, read_journal
from trainer_svc.strategies.founding import FoundingFolder
from trainer_svc.strategies.run_record import Run, RunRecord, RunState, read_run, write_run

LIVE_FORMAT: Final = 1
FIRST: Final = ""
_LIVE: Final = "live.json"
_RUNS: Final = "lineages"
_NUMBER: Final = re.compile(r".*-(\d+)")


class Live(msgspec.Struct, frozen=True):
    """Which lineage is live.

    Attributes:
        lineage: its folder's name.
        previous: the one before it, whose word to forget a user may not have reached this one yet; None: it has.
        since: where in that one's journal such words may begin.
        head: the version that it went on from.
    """

    lineage: str = FIRST
    previous: str | None = None
    since: int = 0
    head: Head | None = None
    format: int = LIVE_FORMAT


class LineageFolders:
    """See the module's docstring. The live lineage is changed by the trainer's process alone."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def live(self) -> Live:
        """The live lineage.

        Raises:
            Corrupt: the file is damaged or of another format.
        """
        try:
            live = msgspec.json.decode((self.root / _LIVE).read_bytes(), type=Live)
        except FileNotFoundError:
            return Live()
        except msgspec.MsgspecError as error:
            raise Corrupt(f"{self.root / _LIVE}: {error}") from error
        if live.format != LIVE_FORMAT:
            raise Corrupt(
                f"{self.root / _LIVE} is of format {live.format}, which is not known here (known: {LIVE_FORMAT})"
            )
        return live

    def set_live(self, live: Live) -> None:
        """Names the live lineage, durably."""
        write_durably(self.root / _LIVE, memoryview(msgspec.json.encode(live)))

    def path(self, lineage: str) -> Path:
        """The folder of a lineage."""
        return self.root if lineage == FIRST else self.root / _RUNS / lineage

    def runs(self) -> list[RunRecord]:
        """All runs, oldest first."""
        folders = sorted((self.root / _RUNS).glob("*/run.json"), key=lambda path: _number(path.parent.name))
        return [RunRecord(path.parent.name, read_run(path.parent)) for path in folders]

    def begin(self, run: Run) -> RunRecord:
        """A folder for a new run."""
        number = 1 + max((_number(record.name) for record in self.runs()), default=0)
        name = f"{run.strategy}-{number}"
        write_run(self.path(name), run)
        return RunRecord(name, run)

    def lineage_of(self, digest: str) -> str | None:
        """The lineage that made a version: by what its run offered, or by what was acknowledged in its journal."""
        runs = self.runs()
        offered = next((record.name for record in runs if record.run.digest == digest), None)
        if offered is not None:
            return offered
        names = [FIRST, *(record.name for record in runs)]
        return next((name for name in names if digest in set(self._acknowledged(name))), None)

    def parents_under_way(self) -> list[str]:
        """Digests of the versions that runs which are not at their end go on from."""
        open_states = (RunState.ASKED, RunState.LEARNING)
        return [one.run.parent for one in self.runs() if one.run.state in open_states and one.run.parent]

    def forgotten_since(self, lineage: str, position: int) -> list[Forgot]:
        """Whom a lineage's journal says to forget, from a position on."""
        return [entry for entry, _ in self._entries(lineage, position) if isinstance(entry, Forgot)]

    def drop_others(self, kept: str) -> None:
        """Removes what the lineages beside one have on disk; what is known of their runs stays."""
        for name in {FIRST, *(record.name for record in self.runs())} - {kept}:
            self.drop(name)

    def drop(self, lineage: str) -> None:
        """Removes what a lineage has on disk, apart from what is known of its run."""
        folder = self.path(lineage)
        for part in (PARTITION, "checkpoints"):
            shutil.rmtree(folder / part, ignore_errors=True)
        FoundingFolder(folder).clear()

    def _acknowledged(self, lineage: str) -> Iterator[str]:
        return (entry.digest for entry, _ in self._entries(lineage, 0) if isinstance(entry, Acknowledged))

    def _entries(self, lineage: str, start: int) -> Iterator[tuple[object, int]]:
        reader = FileEventReader(self.path(lineage))
        try:
            if PARTITION in reader.partitions():
                yield from read_journal(reader, start)
        finally:
            reader.close()


class OtherLineages:
    """The lineages beside one (see `trainer_svc.hand_over.Kin`). A digest that none made is not looked for again."""

    def __init__(self, folders: LineageFolders, own: str) -> None:
        self._folders = folders
        self._own = own
        self._strange: set[str] = set()

    def lineage_of(self, digest: str, /) -> str | None:
        """See `Kin`."""
        if not digest or digest in self._strange:
            return None
        found = self._folders.lineage_of(digest)
        if found is None or found == self._own:
            self._strange.add(digest)
            return None
        return found


def _number(name: str) -> int:
    found = _NUMBER.fullmatch(name)
    return int(found[1]) if found else 0
