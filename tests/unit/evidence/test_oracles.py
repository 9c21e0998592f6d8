"""The processes against figures of an independent library (recorded; the file names its source)."""

import json
from pathlib import Path
from typing import Any

import pytest

from registry_svc.evidence.betting import BettingProcess
from registry_svc.evidence.binomial import ConditionalBinomial, sample_ratio
from registry_svc.evidence.detector import EDetector

ORACLE: dict[str, Any] = json.loads((Path(__file__).parent / "oracle_online_fdr.json").read_text())


def test_betting_wealth() -> None:
    data = ORACLE["betting"]
    process = BettingProcess.of(data["bound"], 0.01, data["prior_variance"])
    for x, expected in zip(data["x"], data["log_wealth"], strict=True):
        process.update(x)
        assert process.log_wealth == pytest.approx(expected, abs=1e-9)


def test_the_detector_is_the_sum_over_starting_times() -> None:
    data = ORACLE["detector"]
    detector = EDetector(data["bound"], 1e5)
    for x, expected in zip(data["x"], data["log_evidence"], strict=True):
        detector.update(x)
        assert detector.log_evidence == pytest.approx(expected, abs=1e-9)


def test_the_conditional_binomial_is_a_mixture_of_likelihood_ratios() -> None:
    data = ORACLE["binomial"]
    process = ConditionalBinomial(0.01)
    for user, ((in_canary, share), expected) in enumerate(zip(data["events"], data["log_evidence"], strict=True)):
        process.update(user, in_canary=in_canary, share=share)
        assert process.log_evidence == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("in_canary", [True, False])
def test_a_split_that_loses_users_is_seen_both_ways(in_canary: bool) -> None:  # noqa: FBT001
    guard = sample_ratio(0.01)
    assert any(guard.update(user, in_canary=in_canary, share=0.5) for user in range(40))


def test_a_split_that_keeps_its_share_is_not_accused() -> None:
    guard = sample_ratio(0.01)
    assert not any(guard.update(user, in_canary=user % 4 == 0, share=0.25) for user in range(4000))


def test_the_seen_users_are_bounded() -> None:
    process = ConditionalBinomial(0.01, limit=10)
    for user in range(100):
        process.update(user, in_canary=False, share=0.5)
    assert len(process.seen) == 10
