"""What is kept of recent requests."""

from serving_svc.warm_up import RecentRequests, warm_up
from tests.unit.serving.fakes import SumServable, block_of


def kept(recent: RecentRequests, spec_digest: str = "s") -> list[list[int]]:
    return [block.item_ids[:, 0].tolist() for block in recent.of(spec_digest)]


def test_the_last_few_requests_of_each_spec_are_kept() -> None:
    recent = RecentRequests(kept=2)
    for n in range(4):
        recent.add("s", block_of(n))
    recent.add("t", block_of(9))
    assert (kept(recent), kept(recent, "t"), kept(recent, "u")) == ([[2], [3]], [[9]], [])


def test_what_is_kept_is_bounded_in_rows() -> None:
    recent = RecentRequests(rows_kept=4)
    recent.add("s", block_of(1, 2))
    recent.add("s", block_of(3))
    recent.add("s", block_of(4))
    assert kept(recent) == [[1, 2], [3], [4]]
    recent.add("s", block_of(5))
    assert kept(recent) == [[3], [4], [5]]
    recent.add("s", block_of(*range(5)))
    assert kept(recent) == [[3], [4], [5]]


def test_warm_up_runs_empty_requests_and_the_newest_recent_ones() -> None:
    servable = SumServable()
    warm_up(servable, [block_of(*range(n)) for n in range(1, 11)])
    assert servable.batches == [1, 32, *range(3, 11)]
