"""A backfill as a run of its own: the learned base is what its lineage begins as; the log follows."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from martlet.errors import InvalidInput
from trainer_svc.backfill.base import LearnedBase, Overlap, learn_history
from trainer_svc.backfill.exported import is_exported, read_examples
from trainer_svc.backfill.history import Faults, Historian, History
from trainer_svc.backfill.mapping import column_map
from trainer_svc.backfill.sources import rows_of
from trainer_svc.learner import Learner


@dataclass(frozen=True, slots=True)
class BackfillOptions:
    """What is backfilled.

    Attributes:
        source: a path or a database's URL; `query` for the latter.
        columns: the mapping's plain form as JSON; "" for a file that `martlet export` wrote.
        overlap: what decides where history and log hold the same.
        before_us: by time: the history gives way to the log from here on; 0: right behind its latest event.
    """

    source: str
    query: str = ""
    columns: str = ""
    overlap: Overlap = "time"
    before_us: int = 0

    @classmethod
    def of(cls, options: Mapping[str, str]) -> "BackfillOptions":
        """From a run's record."""
        overlap: Overlap = "prediction_id" if options.get("overlap") == "prediction_id" else "time"
        query, columns = options.get("query", ""), options.get("columns", "")
        return cls(options["source"], query, columns, overlap, int(options.get("before_us", "0")))

    def plain(self) -> dict[str, str]:
        """For a run's record."""
        own = {"source": self.source, "query": self.query, "columns": self.columns, "overlap": self.overlap}
        return own | {"before_us": str(self.before_us)}


def learned_base(learner: Learner, options: BackfillOptions, most: int) -> tuple[LearnedBase, Faults]:
    """Teaches a fresh learner the history, in batches of at most `most`. Rows that cannot be used are told.

    Raises:
        InvalidInput: the source cannot be read, or no row of it can be used.
    """
    faults = Faults()
    base = learn_history(learner, _history(learner, options, most, faults), options.overlap, options.before_us)
    if not base.examples:
        why = f": {faults.told[0]}" if faults.told else ""
        raise InvalidInput(f"{options.source} holds no example that can be learned{why}")
    if options.overlap == "prediction_id" and not base.known.shape[0]:
        raise InvalidInput(f"{options.source} names no predictions: let time decide what the log holds too")
    return base, faults


def _history(learner: Learner, options: BackfillOptions, most: int, faults: Faults) -> Iterator[History]:
    if "://" not in options.source and is_exported(Path(options.source)):
        yield from read_examples(Path(options.source), learner.spec, most)
        return
    if not options.columns:
        raise InvalidInput(f"{options.source}: a mapping says what its columns mean (--map)")
    columns = column_map(json.loads(options.columns), "the mapping")
    historian = Historian(learner.spec, learner.model.label, columns, faults)
    yield from historian.read(rows_of(options.source, columns.columns, options.query), most)
