"""A judge's log in memory. Passes the laws of `tests/checks/test_judge_log.py`."""

import msgspec

from registry_svc.catalog import Moved
from registry_svc.judge_log import JudgedBatch
from registry_svc.model_judge import JudgeRecord


class MemoryJudgeLog:
    """Keeps records as bytes, so that what is loaded is a copy."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}
        self._batches: dict[str, list[JudgedBatch]] = {}

    def load(self, model: str) -> JudgeRecord:
        found = self._records.get(model)
        return JudgeRecord() if found is None else msgspec.msgpack.decode(found, type=JudgeRecord)

    def batches(self, model: str) -> int:
        return self.load(model).batches

    def add(self, judged: JudgedBatch, record: JudgeRecord) -> None:
        model = judged.batch.model
        if self.batches(model) != record.batches - 1:
            raise Moved("gone on")
        self._records[model] = msgspec.msgpack.encode(record)
        self._batches.setdefault(model, []).append(judged)

    def read(self, model: str, after: int, limit: int) -> list[JudgedBatch]:
        return [judged for judged in self._batches.get(model, []) if judged.number > after][:limit]

    def forget(self, model: str, keep: int) -> int:
        kept = self._batches.get(model, [])
        newest = max((judged.number for judged in kept), default=0)
        self._batches[model] = [judged for judged in kept if judged.number > newest - keep]
        return len(kept) - len(self._batches[model])
