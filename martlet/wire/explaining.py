"""Explanations: messages to values and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from martlet.errors import InvalidInput
from martlet.events import Arm
from martlet.explanation import Contribution, Explanation
from martlet.feature_encoding import ItemId, Value
from martlet.v1 import events_pb2
from martlet.v1 import serving_pb2 as pb
from martlet.wire.values import id_message, id_of, optional_id_of, value_messages, values_of

MAX_PERMUTATIONS: Final = 4096
_ARMS: Final = {arm.value for arm in Arm}


@dataclass(frozen=True, slots=True)
class ExplainQuery:
    """A decoded request. `version` 0 leaves the choice to the traffic split.

    Attributes:
        permutations: most that are run for Shapley values; 0: none are made.
        seed: of the permutations.
    """

    model: str
    session_id: str
    version: int
    user_id: ItemId | None
    context: Mapping[str, Value]
    item_id: ItemId
    item_values: Mapping[str, Value]
    permutations: int = 0
    seed: int = 0


def explain_query(message: pb.ExplainRequest) -> ExplainQuery:
    """Decodes a request.

    Raises:
        InvalidInput: no item, an empty value, or too many permutations.
    """
    if message.permutations == 1 or message.permutations > MAX_PERMUTATIONS:
        raise InvalidInput(f"permutations is {message.permutations}: from 2 (one pair) to {MAX_PERMUTATIONS} are run")
    return ExplainQuery(
        message.model,
        message.session_id,
        message.version,
        optional_id_of(message.user_id),
        values_of(message.context),
        id_of(message.candidate.item_id, "the candidate's item_id"),
        values_of(message.candidate.features),
        message.permutations,
        message.seed,
    )


def explain_request(query: ExplainQuery) -> pb.ExplainRequest:
    """A request as a message."""
    candidate = pb.Candidate(item_id=id_message(query.item_id), features=value_messages(query.item_values))
    return pb.ExplainRequest(
        model=query.model,
        user_id=None if query.user_id is None else id_message(query.user_id),
        session_id=query.session_id,
        context=value_messages(query.context),
        candidate=candidate,
        version=query.version,
        permutations=query.permutations,
        seed=query.seed,
    )


def explain_response(explanation: Explanation) -> pb.ExplainResponse:
    """An explanation as a message."""
    return pb.ExplainResponse(
        model=explanation.model,
        version=explanation.version,
        digest=explanation.digest,
        arm=events_pb2.Arm.ValueType(explanation.arm.value),
        score=explanation.score,
        logit=explanation.logit,
        base_logit=explanation.base_logit,
        contributions=[
            pb.Contribution(
                feature=part.feature,
                source=part.source,
                without=part.without,
                shapley=part.shapley,
                shapley_error=part.shapley_error,
            )
            for part in explanation.contributions
        ],
        permutations=explanation.permutations,
        exact=explanation.exact,
    )


def explanation_of(message: pb.ExplainResponse) -> Explanation:
    """An explanation from a message.

    Raises:
        InvalidInput: an arm that is not known here.
    """
    if message.arm not in _ARMS:
        raise InvalidInput(f"arm {message.arm} is not known")
    return Explanation(
        message.model,
        message.version,
        message.digest,
        Arm(message.arm),
        message.score,
        message.logit,
        message.base_logit,
        tuple(
            Contribution(part.feature, part.source, part.without, part.shapley, part.shapley_error)
            for part in message.contributions
        ),
        message.permutations,
        message.exact,
    )
