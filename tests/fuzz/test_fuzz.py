"""Hostile bytes at every door, a modest number of them: named errors and clear statuses, no crash, no hang.

The long form is `python -m benchmarks.operations.fuzz`; guided by coverage, `python -m tests.fuzz TARGET`.
"""

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.edges import Edges
from tests.fuzz.mutation import mutated
from tests.fuzz.targets import FINE, Target, targets

EXAMPLES = 150
SERVICES = ("martlet.v1.Serving", "martlet.v1.Events", "martlet.v1.R", "martlet.v1.Trainer", "inference.")
MODEST = settings(
    max_examples=EXAMPLES, deadline=5_000, suppress_health_check=[HealthCheck.function_scoped_fixture], print_blob=True
)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return targets(tmp_path_factory.mktemp("fuzz"))


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edges]:
    with Edges(tmp_path_factory.mktemp("edges")) as made:
        yield made


NAMES = (
    *("events", "trainer intake", "log segment", "journal", "manifest", "signature", "base", "delta", "dense"),
    *("checkpoint", "graph", "settings", "rollout policy", "tokens"),
)


def test_every_reader_is_fed(readers: dict[str, Target]) -> None:
    assert set(readers) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_raises_nothing_but_the_domains_errors(readers: dict[str, Target], name: str) -> None:
    target = readers[name]

    @given(st.randoms(use_true_random=False))
    @MODEST
    def fed(random: Random) -> None:
        try:
            target.read(mutated(random, target.seeds))
        except FINE:
            return

    for seed in target.seeds:
        target.read(seed)  # what is good is read
    fed()


@pytest.mark.parametrize("service", SERVICES)
def test_a_call_ends_with_a_clear_status(edges: Edges, service: str) -> None:
    seeds = edges.seeds(service)

    @given(st.randoms(use_true_random=False))
    @MODEST
    def fed(random: Random) -> None:
        edges.call(mutated(random, seeds))

    for seed in seeds:
        edges.call(seed)
    fed()
