"""Shadow scores: what the versions that did not answer say of the very same items, for the judge.

Which versions score is fixed when the answer is given: handles are taken right then. A version that comes later may
have learned what became of the answer, and its score would be no evidence. The scores are made a few milliseconds
later, several requests in one run, and no answer waits for them. A record goes to the log once, when it is complete.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import xxhash

from martlet.errors import NotReady
from martlet.events import Arm, Prediction
from martlet.feature_encoding import concatenate
from martlet.feature_projection import Projection
from martlet.feature_spec import FeatureBlock, FeatureSpec
from martlet.versions import Role
from serving_svc.batcher import INLINE_ROWS
from serving_svc.loader import ServableHandle
from serving_svc.prediction_log import PredictionLog
from serving_svc.servable import Servable, ServableId
from serving_svc.shadow_metrics import RoleMetrics, ShadowMetrics
from serving_svc.traffic_split import Route, Scorer

_logger = logging.getLogger(__name__)

Logits = npt.NDArray[np.float32]

GATHER_SECONDS: Final = 0.005
RUN_ROWS: Final = 1024


class Handles(Protocol):
    """The part of a manager that shadow scoring needs."""

    def handle(self, servable: ServableId) -> ServableHandle:
        """A counted reference."""
        ...


@dataclass(frozen=True, slots=True)
class _Scoring:
    """A version that scores, held until it has; `projection`: how it reads the answer's features, if not as they are.

    What its own features would have said beyond those is absent: so it is judged by what it makes of less.
    """

    role: Role
    handle: ServableHandle
    projection: Projection | None


@dataclass(slots=True)
class _Gathered:
    """Answers that the same versions score in one run each.

    Attributes:
        handles: hold the versions until all is scored.
        rows: item rows.
    """

    handles: tuple["_Scoring", ...]
    records: list[Prediction] = field(default_factory=list)
    rows: int = 0


class ShadowScoring:
    """Writes prediction records, with the scores of the other versions. Lives on one event loop.

    Args:
        executor: where runs of more than a few rows go, one at a time, so that answers never wait for more than one.
        share: share of the answers that are scored.
        max_rows: item rows that may wait; a record beyond is written without shadow scores.
    """

    def __init__(
        self,
        versions: Handles,
        log: PredictionLog,
        executor: Executor,
        metrics: ShadowMetrics,
        *,
        share: float,
        max_rows: int,
    ) -> None:
        self._versions = versions
        self._log = log
        self._executor = executor
        self._metrics = metrics
        self._share = share
        self._max_rows = max_rows
        self._rows = 0
        self._records = 0
        self._gathered: list[_Gathered] = []
        self._open: dict[tuple[str, tuple[Scorer, ...]], _Gathered] = {}
        self._projections: dict[tuple[str, str], Projection] = {}
        self._scoring: asyncio.Task[None] | None = None

    @property
    def waiting_records(self) -> int:
        """Records that wait for shadow scores."""
        return self._records

    @property
    def waiting_rows(self) -> int:
        """Their item rows."""
        return self._rows

    def record(self, answer: Prediction, route: Route) -> None:
        """Writes the answer's record: at once, or soon with what the other versions on the route say of its items.

        Cheap: never waits, never raises. To be called when the answer is given, before its caller can have it.
        """
        gathered = self._place(answer, route) if self._is_due(answer) else None
        if gathered is None:
            self._log.offer(answer)
            return
        rows = answer.features.rows
        gathered.records.append(answer)
        gathered.rows += rows
        self._rows += rows
        self._records += 1
        if self._scoring is None:
            self._scoring = asyncio.get_running_loop().create_task(self._score_all())

    async def close(self) -> None:
        """Scores and writes what waits. To be called after the last answer and before versions are unloaded."""
        while self._scoring is not None:
            await self._scoring

    def _is_due(self, answer: Prediction) -> bool:
        return answer.arm is not Arm.EXPLICIT and is_sampled(answer.prediction_id, self._share)

    def _place(self, answer: Prediction, route: Route) -> _Gathered | None:
        """Where the answer's items are scored; None: nowhere."""
        rows = answer.features.rows
        scorers = tuple(scorer for scorer in route.scorers if scorer.servable.version != answer.version)
        if not scorers:
            return None
        if self._rows and self._rows + rows > self._max_rows:
            self._metrics.dropped.inc()
            return None
        key = (answer.spec_digest, scorers)
        gathered = self._open.get(key)
        if gathered is not None and gathered.rows + rows <= RUN_ROWS:
            return gathered
        handles = tuple(self._handles(scorers, answer, route))
        if not handles:
            return None
        gathered = self._open[key] = _Gathered(handles)
        self._gathered.append(gathered)
        return gathered

    def _handles(self, scorers: Iterable[Scorer], answer: Prediction, route: Route) -> Iterable[_Scoring]:
        """Of those that are still READY and can read the answer's features."""
        for scorer in scorers:
            try:
                handle = self._versions.handle(scorer.servable)
            except NotReady:
                continue
            if handle.servable.spec_digest == answer.spec_digest:
                yield _Scoring(scorer.role, handle, None)
                continue
            projection = self._projection(answer, route, handle.servable)
            if projection is None:
                handle.leave()
            else:
                yield _Scoring(scorer.role, handle, projection)

    def _projection(self, answer: Prediction, route: Route, reader: Servable) -> Projection | None:
        """How a version reads what another spec laid out; None if nobody here knows that spec any more."""
        key = (answer.spec_digest, reader.spec_digest)
        if key not in self._projections:
            given = self._spec_of(answer, route)
            if given is None:
                return None
            self._projections[key] = Projection.between(given, reader.spec)
        return self._projections[key]

    def _spec_of(self, answer: Prediction, route: Route) -> FeatureSpec | None:
        for scorer in route.scorers:
            if scorer.servable.version == answer.version:
                try:
                    handle = self._versions.handle(scorer.servable)
                except NotReady:
                    return None
                try:
                    return handle.servable.spec
                finally:
                    handle.leave()
        return None

    async def _score_all(self) -> None:
        try:
            while self._gathered:
                await asyncio.sleep(GATHER_SECONDS)
                due, self._gathered = self._gathered, []
                self._open.clear()
                for gathered in due:
                    await self._score(gathered)
        finally:
            self._scoring = None

    async def _score(self, gathered: _Gathered) -> None:
        logits: dict[int, Logits] = {}
        try:
            block = concatenate([record.features for record in gathered.records])
            for one in gathered.handles:
                read = block if one.projection is None else one.projection.of_block(block)
                servable, count = one.handle.servable, len(gathered.records)
                found = await self._logits(self._metrics.of[one.role], servable, read, count)
                if found is not None:
                    logits[one.handle.id.version] = found
                await asyncio.sleep(0)  # answers come first
        except Exception:
            _logger.exception("%d answers were not scored by the other versions", len(gathered.records))
        finally:
            for one in gathered.handles:
                one.handle.leave()
            self._rows -= gathered.rows
            self._records -= len(gathered.records)
            for record in with_scores(gathered.records, logits):
                self._log.offer(record)

    async def _logits(self, metrics: RoleMetrics, servable: Servable, block: FeatureBlock, count: int) -> Logits | None:
        """One version's logits of all that gathered; None if it has none to give."""
        try:
            if block.rows <= INLINE_ROWS:
                logits = _run(metrics, servable, block)
            else:
                loop = asyncio.get_running_loop()
                logits = await loop.run_in_executor(self._executor, _run, metrics, servable, block)
        except Exception:  # noqa: BLE001  it answered nobody, and the counter tells
            metrics.failed.inc(count)
            return None
        if logits.shape != (block.rows,):
            metrics.failed.inc(count)
            return None
        if not np.isfinite(logits).all():
            metrics.not_finite.inc()  # and recorded: the judge must see it
        metrics.scored.inc(count)
        return logits


def is_sampled(prediction_id: str, share: float) -> bool:
    """Whether an answer is in the sample of this share: by its id alone, so that no score and no label can choose.

    >>> is_sampled("p1", 1.0), is_sampled("p1", 0.0)
    (True, False)
    """
    return xxhash.xxh3_64_intdigest(b"shadow" + prediction_id.encode()) < share * 2**64


def with_scores(records: Iterable[Prediction], logits: Mapping[int, Logits]) -> Iterable[Prediction]:
    """The records with their parts of {version: float32[all rows]}, which stand in the same order."""
    start = 0
    for record in records:
        end = start + record.features.rows
        shadow = {version: values[start:end] for version, values in logits.items()}
        yield replace(record, scores={**record.scores, **shadow})
        start = end


def _run(metrics: RoleMetrics, servable: Servable, block: FeatureBlock) -> Logits:
    with metrics.seconds.time():
        return servable.predict(block).logit
