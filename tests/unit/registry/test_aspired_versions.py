"""What is aspired, as a function of lanes."""

import pytest

from martlet.events import SPLIT_BUCKETS
from martlet.versions import Role
from registry_svc.aspired_versions import aspired_model, aspired_set
from registry_svc.lane import NOBODY, Lane
from tests.unit.registry.samples import V1, V2, V3, lane

Wanted = list[tuple[int, Role, int]]


@pytest.mark.parametrize(
    ("standing", "wanted"),
    [
        (Lane("shop", 0, 1, V1, V1), [(1, Role.PIN, SPLIT_BUCKETS)]),
        (lane(), [(3, Role.HEAD, 9000), (1, Role.PIN, 1000), (2, Role.CANDIDATE, 0)]),
        (lane(candidate=V3), [(3, Role.HEAD, 9000), (1, Role.PIN, 1000)]),
        (lane(candidate=NOBODY), [(3, Role.HEAD, 9000), (1, Role.PIN, 1000)]),
    ],
)
def test_head_pin_and_candidate_are_aspired_each_once(standing: Lane, wanted: Wanted) -> None:
    found = aspired_model(standing, 9000)
    assert [(version.version, version.role, version.weight) for version in found.versions] == wanted
    assert [version.digest for version in found.versions] == [f"v{version}" for version, _, _ in wanted]


def test_the_order_and_the_salt_are_the_lanes() -> None:
    found = aspired_model(lane(), 9000)
    assert (found.model, found.epoch, found.revision, found.salt) == ("shop", 4, 7, lane().salt)


def test_a_model_without_an_admitted_version_is_not_aspired() -> None:
    found = aspired_set([Lane("empty"), lane()], lambda _: 9000, 5000)
    assert ([model.model for model in found.models], found.lease_ms) == (["shop"], 5000)


def test_salts_differ_by_model_and_epoch() -> None:
    assert len({Lane(model, epoch, head=V2).salt for model in ("a", "b") for epoch in range(3)}) == 6
