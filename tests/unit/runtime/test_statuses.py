"""Every error of the domain has a status, and the way back."""

import grpc
import pytest

from martlet import errors
from martlet.client.channel import _ERRORS
from martlet.runtime.edge import LONGEST_MESSAGE, STATUS_OF, _told, status_of

CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and kind.__base__ is errors.MartletError  # narrower ones have the status of their base
]
# Two pairs share a status: the caller is told the same, and has the same to do.
BACK = {errors.Corrupt: errors.InvalidInput, errors.NotReady: errors.Unavailable}


def test_every_class_has_a_row() -> None:
    assert set(STATUS_OF) == set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_clients_table_is_the_servers_turned_round(kind: type[errors.MartletError]) -> None:
    status = STATUS_OF[kind]
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED:  # built apart, with the hint
        assert kind is errors.OverCapacity
    else:
        assert _ERRORS[status] is BACK.get(kind, kind)


def test_a_rooms_own_error_has_the_status_of_its_base() -> None:
    class ArenaFull(errors.OverCapacity):
        pass

    assert status_of(ArenaFull("full")) is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("error", [ValueError("x"), errors.MartletError("x"), KeyError("x")])
def test_what_is_not_foreseen_is_internal(error: Exception) -> None:
    assert status_of(error) is grpc.StatusCode.INTERNAL


def test_a_long_message_is_cut() -> None:
    """It travels in a header, and headers are bounded."""
    assert _told(errors.NotFound("short")) == "short"
    assert len(_told(errors.NotFound("x" * 100_000))) == LONGEST_MESSAGE + 1
