"""A trainer that lost its journal tells the judge everything again, under another name: nothing is judged twice."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from martlet.events import Arm
from martlet.evidence import EvidenceBatch, EvidenceRow
from registry_svc.lane import Lane, Member
from registry_svc.model_judge import JudgeRecord, ModelJudge
from tests.unit.registry.samples import POLICY

LANE = Lane("shop", 0, 1, Member(3, "v3"), Member(1, "v1"), Member(2, "v2"), 1_000_000)


def row(number: int) -> EvidenceRow:
    logits = {1: 0.1, 2: 0.2, 3: 0.3 if number % 3 else -0.3}
    return EvidenceRow(
        user=number % 5, time_us=1000 + number, epoch=0, arm=Arm.LIVE, weight=9000, version=3, head=3,
        label=float(number % 2), logits=logits,
    )  # fmt: skip


def batches(producer: str, rows: Sequence[EvidenceRow], size: int) -> list[EvidenceBatch]:
    parts = [tuple(rows[start : start + size]) for start in range(0, len(rows), size)]
    return [
        EvidenceBatch(producer, number + 1, "shop", part, 0.0, part[-1].time_us) for number, part in enumerate(parts)
    ]


def judged(told: Sequence[EvidenceBatch]) -> JudgeRecord:
    judge = ModelJudge(POLICY)
    for batch in told:
        if not judge.knows(batch):
            judge.fold(batch, LANE)
    return judge.record()


@settings(max_examples=60, deadline=None)
@given(known=st.integers(1, 40), more=st.integers(0, 20), size=st.integers(1, 9), other=st.integers(1, 9))
def test_what_was_judged_is_not_judged_again(known: int, more: int, size: int, other: int) -> None:
    rows = [row(number) for number in range(known + more)]
    one = judged(batches("judge/a", rows, size))
    lost = judged([*batches("judge/a", rows[:known], size), *batches("judge/b", rows, other)])
    assert (lost.rows, lost.lane) == (one.rows, one.lane)
    assert lost.since == {"judge/b": rows[known - 1].time_us}


def test_one_producer_alone_may_tell_of_the_same_time_twice() -> None:
    """Rows of one moment come in two batches; only another's judging counts as before."""
    rows = [row(0), row(0), row(0)]
    assert judged(batches("judge/a", rows, 1)).rows == 3


def test_it_is_known_after_a_restart_of_the_registry() -> None:
    rows = [row(number) for number in range(20)]
    first = ModelJudge(POLICY)
    for batch in batches("judge/a", rows[:10], 4):
        first.fold(batch, LANE)
    told = batches("judge/b", rows, 4)
    first.fold(told[0], LANE)
    again = ModelJudge(POLICY, first.record())
    for batch in told[1:]:
        again.fold(batch, LANE)
    assert again.record().rows == 20
