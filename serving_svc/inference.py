"""The use cases: rank a caller's candidates, recommend of what is on offer.

What was answered is recorded with everything needed to learn from it and to judge by it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.clock import Clock
from martlet.errors import InvalidInput, NotReady
from martlet.events import Prediction
from martlet.exploration import Exploration
from martlet.feature_encoding import ItemId, RankInput, Value, encode
from martlet.feature_spec import FeatureBlock
from martlet.wire.serving import Ranking, RankQuery, RecommendQuery, scored_items
from serving_svc.answering import Answered, Answering, Asked, session_of
from serving_svc.batcher import Batcher
from serving_svc.candidates import Candidates, Wanted
from serving_svc.exploring import Order, order_of
from serving_svc.item_store import ItemStore
from serving_svc.loader import ServableHandle
from serving_svc.servable import Scores, Servable
from serving_svc.shadow import ShadowScoring
from serving_svc.warm_up import RecentRequests

_NO_SCORES = Scores(np.empty(0, np.float32), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class Scored:
    """One request as a version saw and scored it.

    Attributes:
        items: the item of each row of the block.
    """

    spec_digest: str
    items: tuple[ItemId, ...]
    block: FeatureBlock
    scores: Scores


class Inference:
    """Answers requests. Lives on one event loop.

    Args:
        items_known: whether the items on offer were read to the end of the log once.
        next_id: a new, unique prediction id.
        max_candidates: most candidates of one request.
        exploration: where the request does not say.
    """

    def __init__(
        self,
        *,
        answering: Answering,
        batcher: Batcher,
        items: ItemStore,
        candidates: Candidates,
        records: ShadowScoring,
        recent: RecentRequests,
        clock: Clock,
        items_known: Callable[[], bool],
        next_id: Callable[[], str],
        max_candidates: int,
        exploration: Exploration,
    ) -> None:
        self._answering = answering
        self._batcher = batcher
        self._items = items
        self._candidates = candidates
        self._records = records
        self._recent = recent
        self._clock = clock
        self._items_known = items_known
        self._next_id = next_id
        self._max_candidates = max_candidates
        self._exploration = exploration

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
            scores = _as_asked(await self._batcher.predict(handle, block, deadline), query.task_weights)
            return Scored(handle.servable.spec_digest, tuple(candidates), block, scores)

        session = session_of(query.session_id, query.input.user_id)
        answered = await self._answering.answer(query.model, query.version, session, Asked(attempt, _finite))
        return self._recorded(answered, len(candidates), query.exploration, query.input.user_id, query.session_id)

    async def recommend(self, query: RecommendQuery, deadline: float | None) -> Ranking:
        """The k best of the items on offer that the query allows, best first; none if none are allowed.

        Of more than `max_candidates` items, those that retrieval gives are ranked.

        Raises:
            NotReady: the items on offer are still being read, or as for `rank`.
        """
        if query.k > self._max_candidates:
            raise InvalidInput(f"k = {query.k} is too many: at most {self._max_candidates} are given")
        if not self._items_known():
            raise NotReady("the items on offer are still being read")

        wanted = Wanted(query.model, query.exclude, query.filter)

        async def attempt(handle: ServableHandle) -> Scored:
            servable = handle.servable
            user = encode(servable.spec, RankInput(query.user_id, query.context, [], []))
            offer = await self._candidates.offer(handle, wanted, user, deadline)
            rows = np.zeros(len(offer.items), np.int64)
            block = FeatureBlock(user.user_ids, user.user_numbers, offer.item_ids, offer.item_numbers, rows)
            scores = await self._batcher.predict(handle, block, deadline) if offer.items else _NO_SCORES
            if offer.items:
                scores = _as_asked(scores, query.task_weights)
            return Scored(servable.spec_digest, offer.items, block, scores)

        session = session_of(query.session_id, query.user_id)
        answered = await self._answering.answer(query.model, query.version, session, Asked(attempt, _finite))
        return self._recorded(answered, query.k, query.exploration, query.user_id, query.session_id)

    def _recorded(
        self,
        answered: Answered[Scored],
        k: int,
        exploration: Exploration | None,
        user_id: ItemId | None,
        session_id: str,
    ) -> Ranking:
        """The answer; its record is on its way to the log."""
        choice, prediction_id = answered.choice, self._next_id()
        explored = self._exploration if exploration is None else exploration
        order = order_of(answered.result.scores.rank, k, explored, prediction_id)
        shown, servable = _ordered(answered.result, order.rows), choice.servable
        if shown.items:
            self._recent.add(shown.spec_digest, shown.block)
            prediction = self._prediction(prediction_id, answered, shown, order, user_id, session_id)
            self._records.record(prediction, answered.route)
        ranked = scored_items(shown.items, shown.scores.score, shown.scores.logit, order.propensities)
        return Ranking(prediction_id, servable.model, servable.version, servable.digest, choice.arm, ranked)

    def _prediction(
        self,
        prediction_id: str,
        answered: Answered[Scored],
        shown: Scored,
        order: Order,
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
            propensities=order.propensities,
            scores={servable.version: shown.scores.logit},
            spec_digest=shown.spec_digest,
            features=shown.block,
            head=route.head.version if route.head is not None else 0,
        )


def _as_asked(scores: Scores, task_weights: Mapping[str, float]) -> Scores:
    return scores.weighted(task_weights) if task_weights else scores


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
    return Scored(scored.spec_digest, items, rows, scores.at(order))
