"""The use case: why does an item have this score? One run of the version for all coalitions; nothing is recorded."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.explanation import Contribution, Explanation
from martlet.feature_encoding import RankInput, encode
from martlet.feature_spec import FeatureSpec
from martlet.wire.explaining import ExplainQuery
from serving_svc.answering import Answered, Answering, Asked, session_of
from serving_svc.batcher import Batcher
from serving_svc.explaining import Plan, coalition_block, plan_of, shares_of
from serving_svc.item_store import ItemStore
from serving_svc.loader import ServableHandle
from serving_svc.servable import Scores


@dataclass(frozen=True, slots=True)
class _Probed:
    spec: FeatureSpec
    plan: Plan
    scores: Scores


class Explainer:
    """Lives on one event loop.

    Args:
        most_rows: most coalitions of one explanation.
    """

    def __init__(self, answering: Answering, batcher: Batcher, items: ItemStore, most_rows: int) -> None:
        self._answering = answering
        self._batcher = batcher
        self._items = items
        self._most_rows = most_rows

    async def explain(self, query: ExplainQuery, deadline: float | None) -> Explanation:
        """The contribution of each feature. `deadline`: monotonic seconds.

        Raises:
            NotFound, NotReady: no such model or version; nothing can answer now.
            InvalidInput: a value of the wrong kind.
            OverCapacity, DeadlinePassed: refused before any work.
        """
        known = self._items.attributes(query.model, query.item_id) or {}
        request = RankInput(query.user_id, query.context, [query.item_id], [{**known, **query.item_values}])

        async def attempt(handle: ServableHandle) -> _Probed:
            spec = handle.servable.spec
            plan = plan_of(len(spec.features), query.permutations, query.seed, self._most_rows)
            block = coalition_block(spec, encode(spec, request), plan.coalitions)
            return _Probed(spec, plan, await self._batcher.predict(handle, block, deadline))

        session = session_of(query.session_id, query.user_id)
        asked = Asked(attempt, lambda probed: probed.scores.finite, measured=False)
        return _explanation(await self._answering.answer(query.model, query.version, session, asked))


def _explanation(answered: Answered[_Probed]) -> Explanation:
    probed, servable = answered.result, answered.choice.servable
    logits: npt.NDArray[np.float64] = probed.scores.logit.astype(np.float64)
    shares = shares_of(probed.plan, logits)
    parts = zip(probed.spec.features, shares.without, shares.shapley, shares.errors, strict=True)
    return Explanation(
        model=servable.model,
        version=servable.version,
        digest=servable.digest,
        arm=answered.choice.arm,
        score=float(probed.scores.score[0]),
        logit=float(logits[0]),
        base_logit=float(logits[1]),
        contributions=tuple(
            Contribution(feature.name, feature.source, float(without), float(shapley), float(error))
            for feature, without, shapley, error in parts
        ),
        permutations=probed.plan.orders.shape[0],
        exact=probed.plan.exact,
    )
