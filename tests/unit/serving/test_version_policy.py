"""Literal states in, one action out."""

import pytest

from martlet.versions import Role, VersionState
from serving_svc.version_policy import Action, Step, VersionView, next_action
from tests.unit.serving.fakes import sid

NEW = None
LOADING, WARMING, READY = VersionState.LOADING, VersionState.WARMING, VersionState.READY
DRAINING, FAILED = VersionState.DRAINING, VersionState.FAILED


def view(version: int, state: VersionState | None, *roles: Role, routed: bool = False) -> VersionView:
    return VersionView(sid(version), state, frozenset(roles), routed)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        pytest.param([], None, id="nothing to do"),
        pytest.param([view(1, NEW, Role.HEAD, Role.PIN)], (Step.LOAD, 1), id="the first version is loaded"),
        pytest.param([view(1, NEW, Role.PIN), view(9, NEW, Role.HEAD)], (Step.LOAD, 1), id="empty: the pin first"),
        pytest.param(
            [view(1, READY, Role.CANARY), view(2, NEW, Role.PIN), view(9, NEW, Role.HEAD)],
            (Step.LOAD, 9),
            id="serving: the head first",
        ),
        pytest.param(
            [view(1, READY, Role.PIN), view(2, NEW, Role.CANDIDATE), view(3, NEW, Role.CANARY)],
            (Step.LOAD, 3),
            id="a canary before a candidate",
        ),
        pytest.param([view(1, LOADING, Role.PIN), view(2, NEW, Role.HEAD)], None, id="one at a time while loading"),
        pytest.param([view(1, WARMING, Role.PIN), view(2, NEW, Role.HEAD)], None, id="one at a time while warming"),
        pytest.param(
            [view(1, READY, routed=True), view(2, LOADING, Role.HEAD)], None, id="what is routed is not unloaded"
        ),
        pytest.param(
            [view(1, READY), view(2, READY, Role.HEAD, routed=True)], (Step.UNLOAD, 1), id="what is superseded goes"
        ),
        pytest.param(
            [view(1, READY), view(2, READY, Role.PIN), view(3, NEW, Role.HEAD)],
            (Step.LOAD, 3),
            id="load before unload",
        ),
        pytest.param(
            [view(1, READY), view(2, READY, Role.PIN), view(3, LOADING, Role.HEAD)],
            (Step.UNLOAD, 1),
            id="unload while another loads",
        ),
        pytest.param([view(1, FAILED, Role.HEAD)], None, id="a failed version is not tried again while aspired"),
        pytest.param([view(1, FAILED)], (Step.FORGET, 1), id="a failed version is forgotten when not aspired"),
        pytest.param([view(1, DRAINING)], None, id="draining goes on by itself"),
        pytest.param([view(1, DRAINING, Role.PIN)], None, id="what drains is loaded again only when it is gone"),
    ],
)
def test_next_action(versions: list[VersionView], expected: tuple[Step, int] | None) -> None:
    assert next_action(versions) == (Action(expected[0], sid(expected[1])) if expected else None)
