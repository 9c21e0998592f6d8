"""Ids and feature values: messages to Python values and back."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import numpy as np

from martlet.errors import InvalidInput
from martlet.feature_encoding import ItemId, Value, is_vector
from martlet.v1 import events_pb2 as pb


def id_message(value: ItemId) -> pb.Id:
    """An id as a message.

    Raises:
        InvalidInput: neither text nor a 64-bit integer.
    """
    if isinstance(value, str):
        return pb.Id(text=value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{value!r} is not an id")
    try:
        return pb.Id(number=value)
    except ValueError as error:
        raise InvalidInput(f"id {value} does not fit into 64 bits") from error


def id_of(message: pb.Id, what: str) -> ItemId:
    """The id in a message; `what` names it in the error.

    Raises:
        InvalidInput: the id is empty.
    """
    value = optional_id_of(message)
    if value is None:
        raise InvalidInput(f"{what} is missing")
    return value


def optional_id_of(message: pb.Id) -> ItemId | None:
    """The id in a message, or None where it is empty."""
    number = message.number
    if number:  # it is set then, and nearly all are: no need to ask which
        return number
    kind = message.WhichOneof("kind")
    if kind is None:
        return None
    return message.number if kind == "number" else message.text


def value_of(message: pb.FeatureValue, source: str) -> Value:
    """A feature value; `source` names it in the error."""
    kind = message.WhichOneof("kind")
    if kind == "number":
        return message.number
    if kind == "id":
        return id_of(message.id, f"feature {source!r}")
    if kind == "id_list":
        return [item.number or id_of(item, f"an id of feature {source!r}") for item in message.id_list.ids]
    if kind == "vector":
        return array("f", message.vector.values)  # four bytes a number, where a list would take thirty
    raise InvalidInput(f"feature {source!r} has no value")


def values_of(messages: Mapping[str, pb.FeatureValue]) -> dict[str, Value]:
    """Feature values by source name."""
    return {source: value_of(message, source) for source, message in messages.items()}


def value_message(value: Value) -> pb.FeatureValue:
    """A feature value as a message: float is a number, int and str are ids, a sequence is a list of ids.

    An array of floats, or a sequence in which there is one, is a vector.

    Raises:
        InvalidInput: none of these.
    """
    if isinstance(value, float):
        return pb.FeatureValue(number=value)
    if isinstance(value, int | str):
        return pb.FeatureValue(id=id_message(value))
    if is_vector(value):
        return pb.FeatureValue(vector=_vector_message(value))
    return pb.FeatureValue(id_list=pb.IdList(ids=[id_message(item) for item in cast("Sequence[ItemId]", value)]))


def _vector_message(value: object) -> pb.Vector:
    try:
        return pb.Vector(values=np.asarray(value, np.float32).tolist())
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{value!r} is no vector of numbers") from error


def value_messages(values: Mapping[str, Value]) -> dict[str, pb.FeatureValue]:
    """Feature values by source name as messages."""
    return {source: value_message(value) for source, value in values.items()}


def id_messages(values: Iterable[ItemId]) -> list[pb.Id]:
    """Ids as messages."""
    return [id_message(value) for value in values]
