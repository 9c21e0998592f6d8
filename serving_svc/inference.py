"""The use cases: rank a caller's candidates, recommend of what is on offer, infer on raw tensors.

What was answered is recorded with everything needed to learn from it and to judge by it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.clock import Clock
from martlet.errors import InvalidInput, NotReady
from martlet.events import Arm, Prediction
from martlet.feature_encoding import ItemId, RankInput, Value, encode
from martlet.feature_spec import FeatureBlock
from martlet.wire.serving import Ranking, RankQuery, RecommendQuery, scored_items
from serving_svc.answering import Answered, Answering, Asked, session_of
from serving_svc.batch_work import TensorRun, TensorRuns
from serving_svc.batcher import Batcher
from serving_svc.item_store import ItemStore
from serving_svc.loader import ServableHandle
from serving_svc.recommend import best_rows
from serving_svc.servable import Scores, Servable, ServableId, Tensors
from serving_svc.shadow import ShadowScoring
from serving_svc.tensor_check import check_inputs, check_outputs, first_not_finite
from serving_svc.warm_up import RecentRequests

_NO_SCORES = Scores(np.empty(0, np.float32), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class TensorQuery:
    """Raw tensors for a version's graph. `version` 0 leaves the choice to the traffic split; no outputs means all."""

    model: str
    version: int
    session: str
    inputs: Mapping[str, npt.NDArray[np.generic]]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TensorAnswer:
    """The outputs, and who answered."""

    servable: ServableId
    arm: Arm
    outputs: Tensors


@dataclass(frozen=True, slots=True)
class Scored:
    """One request as a version saw and scored it.

    Attributes:
        items: the item of each row of the block.
        excluded: int64, rows that must not be answered.
    """

    spec_digest: str
    items: tuple[ItemId, ...]
    block: FeatureBlock
    scores: Scores
    excluded: npt.NDArray[np.int64] | None = None


class Inference:
    """Answers requests. Lives on one event loop.

    Args:
        items_known: whether the items on offer were read to the end of the log once.
        next_id: a new, unique prediction id.
        max_candidates: most candidates of one request.
    """

    def __init__(
        self,
        *,
        answering: Answering,
        batcher: Batcher,
        items: ItemStore,
        records: ShadowScoring,
        recent: RecentRequests,
        clock: Clock,
        items_known: Callable[[], bool],
        next_id: Callable[[], str],
        max_candidates: int,
    ) -> None:
        self._answering = answering
        self._batcher = batcher
        self._items = items
        self._records = records
        self._recent = recent
        self._clock = clock
        self._items_known = items_known
        self._next_id = next_id
        self._max_candidates = max_candidates

    async def rank(self, query: RankQuery, deadline: float | None) -> Ranking:
        """Orders the caller's candidates, best first. `deadline`: monotonic seconds.

        Raises:
            NotFound, NotReady: no such model or version; nothing can answer now.
            InvalidInput: too many candidates, or a value of the wrong kind.
            OverCapacity, DeadlinePassed: refused before any work.
        """
        candidates = query.input.item_ids
        if len(candidates) > self._max_candidates:
            raise InvalidInput(f"{len(candidates)} candidates are too many: at most {self._max_candidates} are taken")
        known = [self._items.attributes(query.model, item) for item in candidates]
        request = _with_attributes(query.input, known) if any(known) else query.input

        async def attempt(handle: ServableHandle) -> Scored:
            block = _encoded(handle.servable, request, query.input)
            scores = await self._batcher.predict(handle, block, deadline)
            return Scored(handle.servable.spec_digest, tuple(candidates), block, scores)

        session = session_of(query.session_id, query.input.user_id)
        answered = await self._answering.answer(query.model, query.version, session, Asked(attempt, _finite))
        scored = answered.result
        order = np.argsort(-scored.scores.logit, kind="stable")
        return self._recorded(answered, order, query.input.user_id, query.session_id)

    async def recommend(self, query: RecommendQuery, deadline: float | None) -> Ranking:
        """The k best of the items on offer, best first; of more than `max_candidates` items, of the newest.

        Raises:
            NotReady: the items on offer are still being read, or as for `rank`.
        """
        if query.k > self._max_candidates:
            raise InvalidInput(f"k = {query.k} is too many: at most {self._max_candidates} are given")
        if not self._items_known():
            raise NotReady("the items on offer are still being read")

        async def attempt(handle: ServableHandle) -> Scored:
            scored = self._on_offer(handle.servable, query)
            if not scored.items:
                return scored
            scores = await self._batcher.predict(handle, scored.block, deadline)
            return Scored(scored.spec_digest, scored.items, scored.block, scores, scored.excluded)

        session = session_of(query.session_id, query.user_id)
        answered = await self._answering.answer(query.model, query.version, session, Asked(attempt, _finite))
        scored = answered.result
        order = best_rows(scored.scores.logit, query.k, scored.excluded)
        return self._recorded(answered, order, query.user_id, query.session_id)

    async def infer(self, query: TensorQuery, deadline: float | None) -> TensorAnswer:
        """Runs the graph on tensors. Nothing is recorded: raw tensors do not say who asked about what.

        Raises:
            InvalidInput: a tensor that does not fit the signature; the message names it.
        """

        async def attempt(handle: ServableHandle) -> TensorRun:
            signature = handle.servable.signature
            rows = check_inputs(signature, query.inputs)
            if rows > self._max_candidates:
                raise InvalidInput(f"{rows} item rows are too many: at most {self._max_candidates} are taken")
            work = TensorRuns(check_outputs(signature, query.outputs), self._clock)
            return await self._batcher.together(handle, work, query.inputs, rows, deadline)

        def finite(run: TensorRun) -> bool:
            if run.finite:
                return True
            name = first_not_finite(query.inputs)
            if name is not None:
                raise InvalidInput(f"input {name!r} holds an infinity")
            return False

        answered = await self._answering.answer(query.model, query.version, query.session, Asked(attempt, finite))
        return TensorAnswer(answered.choice.servable, answered.choice.arm, answered.result.outputs)

    def _on_offer(self, servable: Servable, query: RecommendQuery) -> Scored:
        """The user's values and those of all items on offer, not scored yet."""
        matrix = self._items.matrix(query.model, servable.spec, servable.spec_digest)
        user = encode(servable.spec, RankInput(query.user_id, query.context, [], []))
        rows = np.zeros(len(matrix.items), np.int64)
        block = FeatureBlock(user.user_ids, user.user_numbers, matrix.item_ids, matrix.item_numbers, rows)
        excluded = [matrix.row_of[item] for item in query.exclude if item in matrix.row_of]
        return Scored(servable.spec_digest, matrix.items, block, _NO_SCORES, np.array(excluded, np.int64))

    def _recorded(
        self, answered: Answered[Scored], order: npt.NDArray[np.int64], user_id: ItemId | None, session_id: str
    ) -> Ranking:
        """The answer in this order of rows; its record is on its way to the log."""
        choice, shown = answered.choice, _ordered(answered.result, order)
        servable, prediction_id = choice.servable, self._next_id()
        if shown.items:
            self._recent.add(shown.spec_digest, shown.block)
            prediction = self._prediction(prediction_id, answered, shown, user_id, session_id)
            self._records.record(prediction, answered.route)
        ranked = scored_items(shown.items, shown.scores.score, shown.scores.logit)
        return Ranking(prediction_id, servable.model, servable.version, servable.digest, choice.arm, ranked)

    def _prediction(
        self,
        prediction_id: str,
        answered: Answered[Scored],
        shown: Scored,
        user_id: ItemId | None,
        session_id: str,
    ) -> Prediction:
        choice, route = answered.choice, answered.route
        servable = choice.servable
        return Prediction(
            prediction_id=prediction_id,
            model=servable.model,
            time_us=self._clock.now_us(),
            epoch=route.epoch,
            revision=route.revision,
            salt=route.salt,
            bucket=choice.bucket,
            weight=choice.weight,
            arm=choice.arm,
            version=servable.version,
            digest=servable.digest,
            user_id=user_id,
            session_id=session_id,
            item_ids=shown.items,
            propensities=None,
            scores={servable.version: shown.scores.logit},
            spec_digest=shown.spec_digest,
            features=shown.block,
            head=route.head.version if route.head is not None else 0,
        )


def _finite(scored: Scored) -> bool:
    return scored.scores.finite


def _with_attributes(request: RankInput, known: list[Mapping[str, Value] | None]) -> RankInput:
    """What the request does not say of an item comes from the item's known attributes."""
    values = [
        {**attributes, **given} if attributes else given
        for attributes, given in zip(known, request.item_values, strict=True)
    ]
    return RankInput(request.user_id, request.context, request.item_ids, values)


def _encoded(servable: Servable, request: RankInput, as_sent: RankInput) -> FeatureBlock:
    """The request laid out. Known attributes of the wrong kind are not the caller's fault: then they are left out."""
    try:
        return encode(servable.spec, request)
    except InvalidInput:
        if request is as_sent:
            raise
        return encode(servable.spec, as_sent)


def _ordered(scored: Scored, order: npt.NDArray[np.int64]) -> Scored:
    """The rows that are answered, in the order answered."""
    items = tuple(scored.items[row] for row in order.tolist())
    block, scores = scored.block, scored.scores
    rows = FeatureBlock(
        block.user_ids,
        block.user_numbers,
        block.item_ids[order],
        block.item_numbers[order],
        np.zeros(order.shape[0], np.int64),
    )
    return Scored(scored.spec_digest, items, rows, Scores(scores.score[order], scores.logit[order]))
