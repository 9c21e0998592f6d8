"""The journal's replay: what decisions lead to, and which do not follow."""

from dataclasses import replace

import pytest

from martlet.errors import Corrupt
from martlet.versions import CatalogState
from registry_svc import rollout
from registry_svc.journal import LEGAL, Decision, DecisionKind, Move, replay
from registry_svc.lane import Lane, Member
from tests.unit.registry.samples import POLICY, record


def history() -> list[Decision]:
    """1 is admitted, 2 refused, 3 and 4 admitted, 3 becomes the pin, 4 cannot be loaded."""
    good = rollout.Health(1, 1, 2.0, 50, 0)
    first = rollout.admit(Lane("shop"), record(1), 1)
    second = rollout.refuse(first.lane, replace(record(2), reason="no good"), 2)
    third = rollout.admit(second.lane, record(3), 3)
    fourth = rollout.admit(third.lane, record(4), 4)
    pinned = rollout.tend(fourth.lane, good, 5, POLICY)
    assert pinned is not None
    failed = rollout.fail(pinned.lane, 4, Member(3, "v3"), "broken", 6)
    assert failed is not None
    return [first, second, third, fourth, pinned, failed]


def test_a_history_leads_to_its_last_lane_and_to_every_versions_state() -> None:
    found = replay("shop", history())
    assert found.lane == history()[-1].lane
    assert {version: (r.state, r.reason) for version, r in found.versions.items()} == {
        1: (CatalogState.RETIRED, ""),
        2: (CatalogState.REJECTED, "no good"),
        3: (CatalogState.PINNED, ""),
        4: (CatalogState.REJECTED, "broken"),
    }


def test_a_journal_with_a_hole_is_told_from_a_whole_one() -> None:
    with pytest.raises(Corrupt, match="follow"):
        replay("shop", [*history()[:1], *history()[2:]])


@pytest.mark.parametrize("state", LEGAL)
@pytest.mark.parametrize("wanted", list(CatalogState))
def test_only_legal_moves_are_replayed(state: CatalogState, wanted: CatalogState) -> None:
    first = Decision(DecisionKind.HEAD, "", 1, Lane("shop"), replace(record(1), state=state))
    second = Decision(DecisionKind.PIN, "", 2, Lane("shop"), None, (Move(1, wanted),))
    if wanted in LEGAL[state]:
        assert replay("shop", [first, second]).versions[1].state is wanted
    else:
        with pytest.raises(Corrupt, match=wanted.name):
            replay("shop", [first, second])


def test_a_version_that_is_not_there_cannot_move() -> None:
    with pytest.raises(Corrupt, match="absent"):
        replay("shop", [Decision(DecisionKind.PIN, "", 1, Lane("shop"), None, (Move(9, CatalogState.PINNED),))])
