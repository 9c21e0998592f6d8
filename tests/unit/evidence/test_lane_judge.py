"""The lane's judge: which rows are evidence for what, what it latches, what it forgets, and that it resumes exactly."""

from collections.abc import Iterable
from dataclasses import replace
from math import inf, nan

import numpy as np
import pytest

from martlet.events import Arm
from martlet.evidence import EvidenceRow
from registry_svc.evidence.lane_judge import LaneFindings, LaneJudge, LaneJudgePolicy, LaneJudgeState
from registry_svc.evidence.lane_state import packed, unpacked

PIN, CANDIDATE, HEAD = 1, 5, 9
SECOND_US = 1_000_000
POLICY = LaneJudgePolicy()


def row(**changes: object) -> EvidenceRow:
    base = EvidenceRow(
        user=1,
        time_us=0,
        epoch=3,
        arm=Arm.LIVE,
        weight=5000,
        version=HEAD,
        head=HEAD,
        label=1.0,
        logits={HEAD: 0.1, PIN: 0.2, CANDIDATE: 0.15},
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def rows(
    count: int, *, head: float = 0.0, candidate: float = 0.0, pin_noise: float = 0.0, seed: int = 0, users: int = 200
) -> list[EvidenceRow]:
    """Labels drawn from known logits; the head and the candidate are off by a constant, the pin by noise."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-0.5, 1.0, count)
    labels = (rng.random(count) < 1 / (1 + np.exp(-truth))).astype(float)
    pins = truth + pin_noise * rng.normal(size=count)
    who = rng.integers(1, users, count)
    return [
        row(
            user=int(who[i]),
            time_us=i * SECOND_US,
            label=float(labels[i]),
            logits={HEAD: float(truth[i]) + head, PIN: float(pins[i]), CANDIDATE: float(truth[i]) + candidate},
        )
        for i in range(count)
    ]


def judge(policy: LaneJudgePolicy = POLICY, *, candidate: int = CANDIDATE, alarms: int = 0) -> LaneJudge:
    made = LaneJudge(policy)
    made.compare(epoch=3, pin=PIN, candidate=candidate, alarms=alarms)
    return made


def after(evidence: Iterable[EvidenceRow], policy: LaneJudgePolicy = POLICY) -> LaneFindings:
    made = judge(policy)
    made.fold(list(evidence))
    return made.findings()


def test_without_evidence_nothing_is_said() -> None:
    assert after([]) == replace(
        after([]), alarm=False, warning=0.0, certified=False, undecided=False, labels=0, candidate_labels=0, guard=""
    )


def test_a_head_that_became_worse_raises_the_alarm_and_stays_alarmed() -> None:
    made = judge()
    made.fold(rows(3000))
    assert not made.findings().alarm
    made.fold(rows(2000, head=1.0, seed=1))
    assert made.findings().alarm
    assert made.findings().warning > 3
    made.fold(rows(3000, pin_noise=0.7, seed=2))
    assert made.findings().alarm


def test_the_delay_of_the_alarm_does_not_depend_on_the_healthy_history() -> None:
    def labels_until_alarm(healthy: int) -> int:
        made = judge()
        made.fold(rows(healthy, pin_noise=0.4))
        for count, one in enumerate(rows(3000, head=0.8, seed=4), start=1):
            made.fold([one])
            if made.findings().alarm:
                return count
        return 3000

    short, long = labels_until_alarm(500), labels_until_alarm(8000)
    assert long <= 1.5 * short < 3000


@pytest.mark.parametrize(
    ("changes", "head_labels", "candidate_labels"),
    [
        ({}, 1, 1),
        ({"arm": Arm.PIN}, 1, 1),
        ({"arm": Arm.CANARY}, 1, 1),
        ({"arm": Arm.EXPLICIT}, 0, 0),
        ({"arm": None}, 0, 0),
        ({"epoch": 2}, 0, 0),
        ({"label": nan}, 0, 0),
        ({"head": 0}, 0, 1),
        ({"head": PIN}, 0, 1),
        ({"logits": {HEAD: 0.1, PIN: 0.2}}, 1, 0),
        ({"logits": {HEAD: 0.1, CANDIDATE: 0.2}}, 0, 0),
        ({"logits": {HEAD: 0.1, PIN: nan, CANDIDATE: 0.2}}, 0, 0),
        ({"logits": {PIN: 0.1, CANDIDATE: 0.2}}, 0, 1),
    ],
)
def test_which_rows_are_evidence(changes: dict[str, object], head_labels: int, candidate_labels: int) -> None:
    findings = after([row(**changes)])
    assert (findings.labels, findings.candidate_labels) == (head_labels, candidate_labels)
    assert findings.guard == ""


def test_a_head_without_a_number_closes_the_lane_without_labels() -> None:
    assert "9" in after([row(logits={HEAD: nan, PIN: 0.0})]).guard
    assert "9" in after([row(logits={HEAD: inf, PIN: 0.0})]).guard


def test_a_head_far_from_the_pin_closes_the_lane_without_labels() -> None:
    assert "one row" in after([row(logits={HEAD: 60.0, PIN: 0.0})]).guard


def test_what_the_bound_hides_closes_the_lane() -> None:
    hidden = [row(user=user, logits={HEAD: 8.0, PIN: 0.0}) for user in range(100)]
    assert "on average" in after(hidden).guard
    assert after(hidden[:5]).guard == ""


def test_a_guard_lasts_until_the_epoch_ends() -> None:
    made = judge()
    made.fold([row(logits={HEAD: nan, PIN: 0.0})])
    made.compare(epoch=3, pin=CANDIDATE, candidate=0, alarms=0)
    assert made.findings().guard
    made.compare(epoch=4, pin=PIN, candidate=0, alarms=1)
    assert not made.findings().guard


def test_a_better_candidate_is_certified_once_it_is_old_enough() -> None:
    young = after(rows(1400, pin_noise=0.7))
    assert young.paths[-1].log_evidence > young.paths[-1].bound
    assert not young.certified
    assert after(rows(1500, pin_noise=0.7)).certified


def test_after_an_alarm_a_candidate_must_be_older() -> None:
    made = judge(alarms=1)
    made.fold(rows(2400, pin_noise=0.7))
    assert not made.findings().certified
    made.fold(rows(100, pin_noise=0.7, seed=1))
    assert made.findings().certified


def test_a_candidate_that_is_worse_is_given_up() -> None:
    findings = after(rows(3000, candidate=0.6))
    assert findings.undecided
    assert not findings.certified


def test_a_candidate_without_a_number_is_given_up_at_once() -> None:
    findings = after([row(logits={HEAD: 0.1, PIN: 0.0, CANDIDATE: nan})])
    assert findings.undecided
    assert findings.guard == ""


def test_a_candidate_is_not_certified_on_what_the_bound_hides() -> None:
    good = rows(1600, pin_noise=0.7)
    assert after(good).certified
    rare = row(user=10**6, time_us=good[-1].time_us, logits={HEAD: 0.1, PIN: 0.0, CANDIDATE: 100.0})
    assert not after([*good, rare]).certified


def test_comparing_again_changes_nothing() -> None:
    made = judge()
    made.fold(rows(500))
    before = made.state()
    made.compare(epoch=3, pin=PIN, candidate=CANDIDATE, alarms=0)
    assert made.state() == before


def test_a_new_epoch_forgets_everything() -> None:
    made = judge()
    made.fold(rows(4000, head=1.0))
    made.compare(epoch=4, pin=PIN, candidate=CANDIDATE, alarms=1)
    fresh = LaneJudge(POLICY)
    fresh.compare(epoch=4, pin=PIN, candidate=CANDIDATE, alarms=1)
    assert made.state() == fresh.state()
    made.fold(rows(100))
    assert made.findings().labels == 0


def test_a_new_pin_resets_the_alarm_but_not_the_count() -> None:
    made = judge()
    made.fold(rows(3000, head=1.0))
    assert made.findings().alarm
    made.compare(epoch=3, pin=77, candidate=CANDIDATE, alarms=1)
    findings = made.findings()
    assert (findings.alarm, findings.labels) == (False, 3000)
    made.compare(epoch=3, pin=77, candidate=0, alarms=1)
    assert made.findings().warning == 0.0


def test_what_was_seen_against_the_candidate_counts_once_it_is_the_pin() -> None:
    made = judge()
    made.fold(rows(3000, head=1.0))
    made.compare(epoch=3, pin=CANDIDATE, candidate=0, alarms=0)
    (path,) = made.findings().paths
    assert (path.name, path.comparator, path.labels) == ("head-pin", CANDIDATE, 3000)
    assert made.findings().alarm


def test_a_new_candidate_starts_a_new_certificate() -> None:
    made = judge()
    made.fold(rows(1500, pin_noise=0.7))
    assert made.findings().certified
    made.compare(epoch=3, pin=PIN, candidate=7, alarms=0)
    findings = made.findings()
    assert (findings.certified, findings.candidate_labels) == (False, 0)


def test_a_certificate_is_about_one_pin() -> None:
    made = judge()
    made.fold(rows(1500, pin_noise=0.7))
    made.compare(epoch=3, pin=2, candidate=CANDIDATE, alarms=0)
    assert made.findings().candidate_labels == 0


def test_arms_are_paired_only_on_demand() -> None:
    paired = replace(POLICY, pair_arms=True)
    lane_only = rows(600, head=1.0)
    assert after(lane_only).paths[0].units > 0
    assert after(lane_only, paired).paths[0].units == 0
    both = [replace(one, arm=Arm.PIN if one.user % 2 else Arm.LIVE) for one in lane_only]
    assert after(both, paired).paths[0].units > 0
    no_traffic = [replace(one, arm=Arm.PIN, weight=0) for one in lane_only]
    assert after(no_traffic, paired).paths[0].units > 0


@pytest.mark.parametrize("pair_arms", [False, True])
def test_a_judge_resumes_bit_for_bit_at_any_cut(pair_arms: bool) -> None:  # noqa: FBT001
    policy = replace(POLICY, pair_arms=pair_arms)
    evidence = [replace(one, arm=Arm.PIN if one.user % 2 else Arm.LIVE) for one in rows(900, pin_noise=0.5)]
    whole = judge(policy)
    whole.fold(evidence)
    for cut in (0, 1, 13, 450, 900):
        first = judge(policy)
        first.fold(evidence[:cut])
        second = LaneJudge(policy, unpacked(packed(first.state())))
        second.fold(evidence[cut:])
        assert packed(second.state()) == packed(whole.state())
        assert second.findings() == whole.findings()


def test_a_state_that_was_handed_out_does_not_change() -> None:
    made = judge()
    state = made.state()
    made.fold(rows(100))
    assert state.labels == 0
    LaneJudge(POLICY, state).fold(rows(100))
    assert state == judge().state()


def test_the_state_stays_small_whoever_comes() -> None:
    policy = replace(POLICY, open_blocks=50)
    strangers = [replace(one, user=n) for n, one in enumerate(rows(3000))]
    made = judge(policy)
    made.fold(strangers[:1000])
    early = len(packed(made.state()))
    made.fold(strangers[1000:])
    assert len(packed(made.state())) <= early + 100
    assert made.findings().paths[0].units == 3000 - 50


def test_many_small_units_bring_no_earlier_false_alarm() -> None:
    """A counts labels: strangers who leave one label each are fifths of units, and starting times count as such."""
    strangers = [replace(one, user=n, logits={HEAD: 0.0, PIN: 0.0}) for n, one in enumerate(rows(3000))]
    regulars = [replace(one, user=n // 5) for n, one in enumerate(strangers)]
    policy = replace(POLICY, open_blocks=1)
    assert after(strangers, policy).paths[0].log_evidence <= after(regulars, policy).paths[0].log_evidence


@pytest.mark.parametrize(
    "changes",
    [
        {"block_labels": 0},
        {"certificate_level": 1.0},
        {"give_up_labels": 2000},
        {"margin": 0.0},
        {"memory": 1.0},
        {"labels_to_false_alarm": 1.0},
    ],
)
def test_senseless_settings_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        replace(POLICY, **changes)  # type: ignore[arg-type]


def test_a_fresh_state_packs() -> None:
    assert unpacked(packed(LaneJudgeState())) == LaneJudgeState()
