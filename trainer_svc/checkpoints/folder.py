"""Checkpoints in a folder: chains of a base and the changes behind it.

A part's name says its step and journal position: `STEP-POSITION.base` or `.changes`. It appears whole: written aside,
synced, renamed. A damaged one is passed over: an older one and the journal give the same state.
"""

import contextlib
import logging
import threading
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from martlet.errors import Corrupt
from trainer_svc.checkpoints.part_file import Head, read_body, read_head, write_part
from trainer_svc.checkpoints.parts import change_in, parts_of_change, parts_of_state, state_in
from trainer_svc.checkpoints.retention import Part, chain_of, dispensable, is_long
from trainer_svc.checkpoints.state import Arrays, Checkpoint, StateChange, apply

BASE: Final = ".base"
CHANGES: Final = ".changes"
DAMAGED: Final = ".damaged"

logger = logging.getLogger(__name__)


class CheckpointStore(Protocol):
    """What the loop asks of a store of checkpoints."""

    def write(self, checkpoint: Checkpoint) -> str:
        """Stores a whole state durably; gives the checkpoint's digest."""
        ...

    def extend(self, change: StateChange) -> str:
        """Stores durably what changed since the last checkpoint that was stored, or loaded by `newest`."""
        ...

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint; its arrays are the caller's."""
        ...

    def before(self, position: int) -> Checkpoint | None:
        """The newest whole checkpoint at or before a position of the journal; its arrays are the caller's."""
        ...

    def hold(self, position: int, also: Collection[int] = ()) -> None:
        """From now on keeps the newest checkpoint at or before this position of the journal, and all newer ones.

        `also`: positions of checkpoints that stay beside them.
        """
        ...

    def positions(self) -> list[int]:
        """The positions of the journal that whole checkpoints stand at."""
        ...


@dataclass(frozen=True, slots=True)
class _Found:
    """Where a part stands, and its head."""

    path: Path
    head: Head


class FolderCheckpoints:
    """See the module's docstring. The last `keep` checkpoints stay, and what `hold` says.

    One thread writes; the others may read meanwhile.

    Args:
        held: a position as for `hold`; None: nothing but the last ones is kept.
        reads_only: another process may be writing here.
    """

    def __init__(self, folder: Path, keep: int, held: int | None = None, *, reads_only: bool = False) -> None:
        self._folder = folder
        self._held = held
        self._also: frozenset[int] = frozenset()
        self._keep = max(1, keep)
        self._tip: Part | None = None
        self._files = threading.Lock()  # nothing goes while a chain is read
        if reads_only:
            return
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.part"):
            leftover.unlink()

    def write(self, checkpoint: Checkpoint) -> str:
        """Stores a whole state durably as a base, then removes what nothing needs; gives its digest."""
        self._tip = self._write_base(checkpoint)
        self._prune()
        return self._tip.digest

    def extend(self, change: StateChange) -> str:
        """Stores durably what changed since the last checkpoint; gives the digest. A long chain is folded.

        Raises:
            Corrupt: the chain that it would follow is not whole; a whole state is to be written.
        """
        if self._tip is None:
            raise Corrupt("there is no checkpoint that a change could follow")
        at, step, previous = change.journal_position, change.step, self._tip.digest
        path = self._path(step, at, CHANGES)
        digest, size = write_part(path, at, step, previous, parts_of_change(change))
        self._tip = self._folded(Part(step, at, is_base=False, digest=digest, previous=previous, size=size))
        self._prune()
        return digest

    def newest(self) -> Checkpoint | None:
        """The newest whole one; `extend` goes on from it."""
        found = self._newest_whole(None)
        if found is None:
            return None
        self._tip, checkpoint = found
        return checkpoint

    def before(self, position: int) -> Checkpoint | None:
        """The newest whole one at or before a position of the journal."""
        found = self._newest_whole(position)
        return None if found is None else found[1]

    def hold(self, position: int, also: Collection[int] = ()) -> None:
        """Keeps the newest one at or before a position, all newer ones, and those at some more positions."""
        self._held, self._also = position, frozenset(also)

    def positions(self) -> list[int]:
        """Where those stand whose chain is whole, by the heads of its parts."""
        with self._files:
            known = list(self._found())
        return sorted({part.journal_position for part in known if chain_of(part, known)})

    def _newest_whole(self, position: int | None) -> tuple[Part, Checkpoint] | None:
        with self._files:
            while True:
                found = self._found()
                chain = _newest_chain(found, position)
                if not chain:
                    return None
                state = self._load([found[part] for part in chain])
                if state is not None:
                    return chain[-1], Checkpoint(chain[-1].journal_position, chain[-1].step, state)

    def _load(self, chain: Sequence[_Found]) -> Arrays | None:
        """The state at a chain's end; None if a part of it is damaged, which is set aside."""
        state: Arrays = {}
        for one in chain:
            try:
                parts = read_body(one.path, one.head)
                state = apply(change_in(one.head, parts), state) if one.head.previous else state_in(parts)
            except (Corrupt, FileNotFoundError) as error:
                _set_aside(one.path, error)
                return None
        return state

    def _found(self) -> dict[Part, _Found]:
        """All parts with a whole head."""
        found: dict[Part, _Found] = {}
        for path in [*self._folder.glob("*" + BASE), *self._folder.glob("*" + CHANGES)]:
            try:
                head, digest = read_head(path)
            except (Corrupt, FileNotFoundError) as error:
                _set_aside(path, error)
                continue
            size = path.stat().st_size
            part = Part(head.step, head.journal_position, not head.previous, digest, head.previous, size)
            found[part] = _Found(path, head)
        return found

    def _folded(self, tip: Part) -> Part:
        """A base in place of a long chain's end. What the loop does meanwhile does not wait for it."""
        found = self._found()
        chain = chain_of(tip, found)
        self._tip = None
        if chain and not is_long(chain):
            return tip
        state = self._load([found[part] for part in chain]) if chain else None
        if state is None:
            raise Corrupt("a checkpoint that the last one rests on is gone or damaged")
        try:
            return self._write_base(Checkpoint(tip.journal_position, tip.step, state))
        except OSError as error:  # the chain is as good as the base would be
            logger.warning("a chain of %d checkpoints is not folded: %s", len(chain), error)
            return tip

    def _prune(self) -> None:
        with self._files:
            found = self._found()
            for old in dispensable(list(found), self._keep, self._held, self._also):
                found[old].path.unlink(missing_ok=True)

    def _write_base(self, checkpoint: Checkpoint) -> Part:
        at, step = checkpoint.journal_position, checkpoint.step
        # A rewind changes the state between two steps: the one before it must not be overwritten.
        path = self._path(step, at, BASE)
        digest, size = write_part(path, at, step, "", parts_of_state(checkpoint.state))
        return Part(step, at, is_base=True, digest=digest, previous="", size=size)

    def _path(self, step: int, position: int, suffix: str) -> Path:
        return self._folder / f"{step:012d}-{position:012d}{suffix}"


def _newest_chain(known: Iterable[Part], position: int | None) -> tuple[Part, ...]:
    parts = sorted(known, reverse=True)
    chains = (chain_of(part, parts) for part in parts if position is None or part.journal_position <= position)
    return next((chain for chain in chains if chain), ())


def _set_aside(path: Path, error: Exception) -> None:
    """So that it is not tried again, and does not count as one that is kept."""
    logger.warning("%s is passed over: %s", path.name, error)
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_suffix(path.suffix + DAMAGED))
