"""What the judge has judged: the batches of evidence as they came, and its record. The port."""

from dataclasses import dataclass
from typing import Protocol

from martlet.evidence import EvidenceBatch
from registry_svc.model_judge import JudgeRecord


@dataclass(frozen=True, slots=True)
class JudgedBatch:
    """A batch in the order of judging. `decisions`: how many had been taken about the model before."""

    number: int
    decisions: int
    batch: EvidenceBatch


class JudgeLog(Protocol):
    """Calls block briefly; they are made from the catalog's thread.

    Every method raises Unavailable when the database does not answer.
    """

    def load(self, model: str) -> JudgeRecord:
        """The judge's record; a fresh one for a model that was never judged."""
        ...

    def batches(self, model: str) -> int:
        """How many batches were judged; a cheap look at whether a record is still the newest."""
        ...

    def add(self, judged: JudgedBatch, record: JudgeRecord) -> None:
        """Writes a batch and the record after it, both or neither. `judged.number` is `record.batches`.

        Raises:
            Moved: another registry has judged in the meantime, and nothing was written.
        """
        ...

    def read(self, model: str, after: int, limit: int) -> list[JudgedBatch]:
        """At most `limit` batches after a number, oldest first."""
        ...

    def forget(self, model: str, keep: int) -> int:
        """Drops all but the newest batches; the record stays. Returns how many went."""
        ...
