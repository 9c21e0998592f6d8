"""The structural judge: what condemns a version, what certifies it, what a new pin changes, and that it resumes."""

from dataclasses import replace
from math import nan

import numpy as np
import pytest

from martlet.events import Arm
from martlet.evidence import EvidenceRow
from registry_svc.evidence.structural_judge import StructuralFindings, StructuralJudge, StructuralPolicy
from registry_svc.evidence.structural_state import packed, unpacked

VERSION, PIN = 7, 1
LABEL_US = 20_000_000  # one label in 20 s of event time: a session that paused for 90 labels is over
POLICY = StructuralPolicy()


def rows(
    count: int,
    *,
    version: float = 0.0,
    pin: float = 0.0,
    version_noise: float = 0.03,
    pin_noise: float = 0.03,
    seed: int = 0,
    arm: Arm = Arm.PIN,
    weight: int = 0,
) -> list[EvidenceRow]:
    """Sessions of 10 labels, a third of them positive; both versions are off the truth by a constant and by noise."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(-0.8, 0.7, count)
    labels = (rng.random(count) < 1 / (1 + np.exp(-truth))).astype(float)
    versions = truth + version + version_noise * rng.normal(size=count)
    pins = truth + pin + pin_noise * rng.normal(size=count)
    return [
        EvidenceRow(
            user=1 + i // 10,
            time_us=i * LABEL_US,
            epoch=0,
            arm=arm,
            weight=weight,
            version=PIN,
            head=0,
            label=float(labels[i]),
            logits={VERSION: float(versions[i]), PIN: float(pins[i])},
        )
        for i in range(count)
    ]


def judge(policy: StructuralPolicy = POLICY, phase: str = "shadow") -> StructuralJudge:
    made = StructuralJudge(policy)
    made.compare(version=VERSION, pin=PIN, phase=phase)
    return made


def after(evidence: list[EvidenceRow], policy: StructuralPolicy = POLICY) -> StructuralFindings:
    made = judge(policy)
    made.fold(evidence)
    return made.findings()


def test_without_evidence_nothing_is_said() -> None:
    assert after([]) == StructuralFindings("", certified=False, labels=0, guard="", paths=())


def test_a_worse_version_is_named_by_its_loss() -> None:
    findings = after(rows(4000, version_noise=0.8))
    assert findings.worse == "log-loss"
    assert not findings.certified


def test_an_equal_version_is_neither_worse_nor_wrongly_certified_early() -> None:
    findings = after(rows(900))
    assert (findings.worse, findings.certified, findings.guard) == ("", False, "")


def test_a_tiny_change_is_certified() -> None:
    assert after(rows(3000)).certified


def test_a_calibration_shift_is_caught_in_shadow() -> None:
    """+.15 of a logit costs less than the margin in log-loss."""
    findings = after(rows(12_000, version=0.15))
    assert findings.worse == "calibration"
    assert findings.paths[0].log_evidence < 1


def test_a_shifted_version_is_not_certified_before_its_bias_could_show() -> None:
    assert not after(rows(3000, version=0.1)).certified


def test_a_version_off_as_its_pin_is_off_is_not_condemned() -> None:
    assert after(rows(12_000, version=0.3, pin=0.3)).worse == ""


def test_a_version_that_repairs_the_pins_calibration_is_not_condemned() -> None:
    assert after(rows(12_000, version=0.0, pin=-0.2)).worse == ""


@pytest.mark.parametrize("arm", [Arm.EXPLICIT, None])
def test_rows_of_no_arm_are_no_evidence(arm: Arm | None) -> None:
    assert after([replace(one, arm=arm) for one in rows(10)]).labels == 0


def test_rows_without_both_scores_are_no_evidence() -> None:
    assert after([replace(one, logits={VERSION: 0.0}) for one in rows(10)]).labels == 0
    assert after([replace(one, logits={PIN: 0.0}) for one in rows(10)]).labels == 0
    assert after([replace(one, logits={VERSION: 0.0, PIN: nan}) for one in rows(10)]).labels == 0


def test_a_version_without_a_number_is_guarded_against_without_labels() -> None:
    assert "nan" in after([replace(rows(1)[0], logits={VERSION: nan, PIN: 0.0})]).guard
    assert "99" in after([replace(rows(1)[0], logits={VERSION: 99.0, PIN: 0.0})]).guard


def test_the_bound_is_fixed_by_rows_that_are_no_evidence() -> None:
    made = judge()
    made.fold(rows(POLICY.prefix_labels - 1))
    assert made.findings().paths == ()
    made.fold(rows(1000, version_noise=2.0, seed=1))
    evidence = made.state().evidence
    assert evidence is not None
    assert evidence.bound < 1.0
    assert made.findings().paths[0].labels == 999


def test_what_the_bound_hides_is_not_certified() -> None:
    wild = [
        replace(one, logits={VERSION: one.logits[PIN] + 3.0, PIN: one.logits[PIN]}) if n % 100 == 0 and n > 200 else one
        for n, one in enumerate(rows(4000))
    ]
    findings = after(wild)
    assert findings.paths[1].log_evidence > findings.paths[1].bound
    assert not findings.certified


def test_with_pairs_the_certificate_needs_both_arms() -> None:
    policy = replace(POLICY, pair_arms=True)
    shadow = rows(4000)
    assert not after(shadow, policy).certified
    split = [replace(one, arm=Arm.CANARY if one.user % 2 else Arm.PIN, weight=5000) for one in shadow]
    assert after(split, policy).certified
    assert not after([one for one in split if one.arm is Arm.CANARY], policy).certified


def test_choosing_what_is_seen_condemns_nobody() -> None:
    """Each arm over-predicts what it chose; pooled over a canary of 90 %, an equal version looks worse and biased."""
    chosen = [
        replace(one, arm=Arm.CANARY, weight=9000, logits={VERSION: one.logits[VERSION] + 0.3, PIN: one.logits[PIN]})
        if one.user % 10
        else replace(one, weight=9000, logits={VERSION: one.logits[VERSION], PIN: one.logits[PIN] + 0.3})
        for one in rows(12_000)
    ]
    assert after(chosen).worse
    assert after(chosen, replace(POLICY, pair_arms=True)).worse == ""


def test_a_new_pin_starts_the_certificate_anew_while_rollback_goes_on() -> None:
    made = judge()
    made.fold(rows(3000))
    before = made.findings()
    made.compare(version=VERSION, pin=2, phase="shadow")
    moved = made.findings()
    assert (before.certified, moved.certified) == (True, False)
    assert moved.paths[1].labels == 0
    assert moved.paths[0].labels == before.paths[0].labels
    assert moved.paths[0].log_evidence == before.paths[0].log_evidence


def test_a_new_version_forgets_everything() -> None:
    made = judge()
    made.fold(rows(4000, version_noise=0.8))
    made.compare(version=8, pin=PIN, phase="shadow")
    assert made.findings() == after([])


def test_a_judge_resumes_bit_for_bit_at_any_cut() -> None:
    evidence = rows(700, version_noise=0.3)
    whole = judge()
    whole.fold(evidence)
    for cut in (0, 1, 199, 200, 333, 700):
        first = judge()
        first.fold(evidence[:cut])
        second = StructuralJudge(POLICY, unpacked(packed(first.state())))
        second.fold(evidence[cut:])
        assert packed(second.state()) == packed(whole.state())


@pytest.mark.parametrize(
    "changes", [{"session_labels": 0}, {"rollback_level": 0.0}, {"margin": -1.0}, {"memory": 1.5}, {"prefix_labels": 0}]
)
def test_senseless_settings_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        replace(POLICY, **changes)  # type: ignore[arg-type]
