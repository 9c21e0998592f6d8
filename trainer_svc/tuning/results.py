"""The file of a search: what is searched, then one line for each trial, each on disk before the next round begins."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from martlet.errors import Corrupt, InvalidInput
from trainer_svc.tuning.trials import TrialResult

RESULTS_FORMAT: Final = 1


class SearchHead(msgspec.Struct, frozen=True):
    """What makes trials comparable. A search goes on only with the same.

    Attributes:
        model, settings: what is tuned, and the settings that are not searched, plain.
        space, search, seed, per_round, folds, metric: as asked for.
        ends, now_us, edges: as in `trials.Stage`: where the log ended when the search began, and its folds.
    """

    model: str
    settings: dict[str, Any]
    space: dict[str, Any]
    search: str
    seed: int
    per_round: int
    folds: int
    metric: str
    ends: dict[str, int]
    now_us: int
    edges: tuple[int, ...]
    format: int = RESULTS_FORMAT


_ASKED: Final = ("format", "model", "settings", "space", "search", "seed", "per_round", "folds", "metric")
_HEAD: Final = msgspec.json.Decoder(SearchHead)
_RESULT: Final = msgspec.json.Decoder(TrialResult)


class ResultsFile:
    """A search's file. Not for two searches at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begun(self) -> SearchHead | None:
        """The head, if there is such a file.

        Raises:
            Corrupt: it is none of a search.
        """
        lines = self._lines()
        if not lines:
            return None
        try:
            return _HEAD.decode(lines[0])
        except msgspec.DecodeError as error:
            raise Corrupt(f"{self._path} does not begin as a search's results do: {error}") from error

    def begin(self, head: SearchHead) -> None:
        """A new file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_bytes(b"")
        self._append([msgspec.json.encode(head, order="sorted")])

    def results(self) -> list[TrialResult]:
        """Those of whole lines, in their order; a torn last line is as if it had not been, and is cut off.

        Raises:
            Corrupt: another line is no result.
        """
        try:
            found = [_RESULT.decode(line) for line in self._lines()[1:]]
        except msgspec.DecodeError as error:
            raise Corrupt(f"{self._path} holds a line that is no result: {error}") from error
        os.truncate(self._path, self._whole())
        return found

    def add(self, results: Sequence[TrialResult]) -> None:
        """Appends; they are on disk when it returns."""
        self._append([msgspec.json.encode(result) for result in results])

    def _lines(self) -> list[bytes]:
        return self._path.read_bytes()[: self._whole()].splitlines() if self._path.exists() else []

    def _whole(self) -> int:
        return self._path.read_bytes().rfind(b"\n") + 1 if self._path.exists() else 0

    def _append(self, lines: Sequence[bytes]) -> None:
        with self._path.open("ab") as file:
            file.write(b"".join(line + b"\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())


def check_same(begun: SearchHead, wanted: SearchHead, path: Path) -> None:
    """Raises InvalidInput if a search was begun as another one; where its log ended is its own."""
    for name in _ASKED:
        before, now = (_plain(getattr(head, name)) for head in (begun, wanted))
        if before != now:
            what = f"{path} holds a search with another {name} ({before!r}, now {now!r})"
            raise InvalidInput(f"{what}: ask the same, or name another file")


def _plain(value: Any) -> Any:
    """As it would read back from the file."""
    return msgspec.json.decode(msgspec.json.encode(value))
