"""The trainer's journal: each decision is on disk before it takes effect, so that a restart takes the same ones again.

Format 1: records of the event log's file format, each the JSON of one entry. What an entry does is a function of the
state before it and of the event log; nothing else changes the state.
"""

from collections.abc import Iterator
from typing import Any, Final, Protocol, get_args

import msgspec

from martlet.decoding import UNREADABLE
from martlet.errors import Conflict, Corrupt, NotReady
from martlet.eventlog.erasure import is_erased
from martlet.eventlog.port import EventReader, EventWriter, Record
from martlet.eventlog.segment import RECORD_HEADER
from martlet.manifest import VersionKind
from trainer_svc.event_source import Cut
from trainer_svc.table.columns import RowType

JOURNAL_FORMAT: Final = 1
PARTITION: Final = "journal"
JOURNAL_SEGMENT: Final = 4 << 20  # it goes by whole segments
_READ_BYTES: Final = 1 << 20


class Began(msgspec.Struct, frozen=True, tag="began"):
    """A lineage begins. Its settings hold for all of it; other ones would give other bits.

    Attributes:
        lineage: its name.
        spec_digest: of the model's feature spec.
        learning_digest: of the label's and the optimizers' settings.
        table_dtype: what the tables' rows are stored as.
        delta_encoding: how the rows of a delta travel.
        exact_repair_every: so many deltas of a chain, of which the last is exact.
        learning: the settings of learning that are no defaults (see `martlet.runtime.learning_config`).
    """

    lineage: str
    model: str
    model_ref: str
    spec_digest: str
    learning_digest: str
    batch_examples: int
    initial_buckets: int
    threads: int
    dedup_window_seconds: int
    recent_requests: int
    format: int = JOURNAL_FORMAT
    table_dtype: RowType = "float32"
    delta_encoding: str = "float32"
    exact_repair_every: int = 16
    learning: dict[str, Any] = {}


class Stepped(msgspec.Struct, frozen=True, tag="stepped"):
    """One step of learning reads this cut. `now_us`: wall time of the decision."""

    cut: Cut
    now_us: int


class Published(msgspec.Struct, frozen=True, tag="published"):
    """A version is made of the state as it is here, by this code. `number` counts attempts."""

    number: int
    kind: VersionKind
    martlet: str


class Acknowledged(msgspec.Struct, frozen=True, tag="acknowledged"):
    """The registry has the version: deltas may follow it."""

    number: int
    digest: str
    version: int


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """The registry did not admit the version."""

    number: int
    digest: str
    reason: str


class Overtaken(msgspec.Struct, frozen=True, tag="overtaken"):
    """The lineage's head or epoch is another than thought: the next version is a snapshot on top of that head."""

    number: int
    digest: str
    epoch: int
    head_digest: str


class Rewound(msgspec.Struct, frozen=True, tag="rewound"):
    """Learning goes back to a version. A version under way, if any, is given up.

    Attributes:
        version: its number in the registry.
        epoch: the one that begins, or goes on.
        refused: because a version was refused; else because the registry took versions back.
        suspect: partition → [from, to): what was learned since the version and is not any more.
    """

    digest: str
    version: int
    epoch: int
    refused: bool
    suspect: dict[str, tuple[int, int]]


class Offered(msgspec.Struct, frozen=True, tag="offered"):
    """A version that has learned a suspect range again is on the structural road. `epoch`: the one that excluded it."""

    epoch: int
    digest: str


class Readmitted(msgspec.Struct, frozen=True, tag="readmitted"):
    """That version was promoted: the range is learned again. `epoch`: the one that excluded it."""

    epoch: int
    digest: str


class Forgot(msgspec.Struct, frozen=True, tag="forgot"):
    """A user is forgotten: the rows go, what the log holds up to `until` is learned no more.

    Attributes:
        start: of the journal, before this entry; names it.
        until: partition → position.
        now_us: wall time of the decision.
        who, why, caller: on whose word, see `martlet.said.Said`.
    """

    start: int
    user_id: int | str
    until: dict[str, int]
    now_us: int
    who: str = ""
    why: str = ""
    caller: str = ""


class Erased(msgspec.Struct, frozen=True, tag="erased"):
    """The log holds nothing of a forgotten user any more. `start` names the entry that forgot.

    On whose word (`who`, `why`, `caller`) is said again: the entry that forgot is erased itself at last.
    """

    start: int
    who: str = ""
    why: str = ""
    caller: str = ""


class Founded(msgspec.Struct, frozen=True, tag="founded"):
    """What a lineage of a strategy begins from. Stands right behind `Began`.

    Attributes:
        strategy: its name.
        reason: why it was chosen, for people.
        digest: of the state it begins as (see `trainer_svc.strategies.founding`); "": from nothing.
        source: digest of the version whose state that was, or "".
        until: partition → position: what the run learns of the log by itself; the live learner goes on from there.
        now_us: wall time at which the run was asked for; all its steps are taken as if at that time.
    """

    strategy: str
    reason: str
    digest: str
    source: str
    until: dict[str, int]
    now_us: int


class Grafted(msgspec.Struct, frozen=True, tag="grafted"):
    """The lineage goes on upon this head, in this epoch. Upon another's head the next version is a snapshot."""

    epoch: int
    head_digest: str


class Recalled(msgspec.Struct, frozen=True):
    """The registry's answer that training has to go back to a version before anything else. Not an entry."""

    digest: str
    version: int
    epoch: int


PublishResult = Acknowledged | Refused | Overtaken
Entry = (
    Began
    | Stepped
    | Published
    | Acknowledged
    | Refused
    | Overtaken
    | Rewound
    | Offered
    | Readmitted
    | Forgot
    | Erased
    | Founded
    | Grafted
)


# Made once, at import: the loop's and the judge's threads begin to read at the same moment, and msgspec (0.20) does not
# bear that two threads learn a type for the first time at once; it crashes the process.
_ENTRIES: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)


class _Tagged(msgspec.Struct):
    type: str


_KINDS: Final = frozenset(str(kind.__struct_config__.tag) for kind in get_args(Entry))


class Journal(Protocol):
    """What the loop asks of a journal."""

    def append(self, entry: Entry) -> int:
        """Writes an entry durably; gives the position behind it."""
        ...

    def read(self, start: int) -> Iterator[tuple[Entry, int]]:
        """The entries from a position on, each with the position behind it: behind the first, where they go on."""
        ...

    def begin(self) -> int:
        """The position from which entries are kept, beside the first one; 0: all are."""
        ...


class LogJournal:
    """The journal in a partition of a log, whose lock keeps a second trainer out. Not thread-safe; blocking."""

    def __init__(self, writer: EventWriter, reader: EventReader, partition: str = PARTITION) -> None:
        self._writer = writer
        self._reader = reader
        self._partition = partition

    def append(self, entry: Entry) -> int:
        """Writes an entry durably; gives the position behind it.

        Raises:
            NotReady: the disk refused; the entry does not count.
        """
        try:
            return self._writer.append(encode_entry(entry)).result().offset
        except OSError as error:
            raise NotReady(f"the journal cannot be written: {error.strerror}") from error

    def read(self, start: int) -> Iterator[tuple[Entry, int]]:
        """See `read_journal`."""
        yield from read_journal(self._reader, start, self._partition)

    def begin(self) -> int:
        """See `Journal`."""
        return self._reader.begin(self._partition)


class ReadOnlyJournal:
    """A journal that somebody else may be writing. Not thread-safe; blocking."""

    def __init__(self, reader: EventReader) -> None:
        self._reader = reader

    def read(self, start: int) -> Iterator[tuple[Entry, int]]:
        """See `read_journal`."""
        yield from read_journal(self._reader, start)

    def begin(self) -> int:
        """See `Journal`."""
        return self._reader.begin(PARTITION)


def read_journal(reader: EventReader, start: int, partition: str = PARTITION) -> Iterator[tuple[Entry, int]]:
    """The entries from a position on, each with the position behind it: behind the first, where the others begin.

    Raises:
        Corrupt: damaged, or of another format.
        Conflict: it was trimmed meanwhile, so that entries would be missed.
    """
    begin = reader.begin(partition)
    start = max(start, begin) if start else 0
    while records := reader.read(partition, start, _READ_BYTES):
        if _start_of(records[0]) != start:
            raise Conflict("the journal was trimmed while it was read: try again")
        for record in records:
            start = max(record.end, begin)
            if not is_erased(record.payload):
                yield decode_entry(record.payload), start


def _start_of(record: Record) -> int:
    return record.end - len(record.payload) - RECORD_HEADER.size


def encode_entry(entry: Entry) -> bytes:
    """An entry as JSON."""
    return msgspec.json.encode(entry)


def decode_entry(payload: bytes) -> Entry:
    """An entry from JSON.

    Raises:
        Corrupt: no known entry, or of another format.
    """
    try:
        entry: Entry = _ENTRIES.decode(payload)
    except UNREADABLE as error:
        raise Corrupt(_complaint(payload, error)) from error
    if isinstance(entry, Began) and entry.format != JOURNAL_FORMAT:
        raise Corrupt(f"journal format {entry.format} is not known here (known: {JOURNAL_FORMAT})")
    return entry


def _complaint(payload: bytes, error: Exception) -> str:
    """What is wrong with an entry; one of a kind that came later is told as that."""
    try:
        kind = msgspec.json.decode(payload, type=_Tagged).type
    except UNREADABLE:
        return f"journal: {error}"
    if kind in _KINDS:
        return f"journal: {error}"
    return f"journal: an entry {kind!r} is not known here, a newer release wrote it: go on with that release"
