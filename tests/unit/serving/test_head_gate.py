"""How far a new head may move recent answers."""

import numpy as np
import pytest

from martlet.errors import Conflict
from martlet.feature_spec import FeatureBlock
from serving_svc.head_gate import LEAST_ROWS, check_head
from serving_svc.servable import Scores
from tests.unit.serving.fakes import NanServable, SumServable, block_of

RECENT = [block_of(*range(8)) for _ in range(LEAST_ROWS // 8)]


class ScaledServable(SumServable):
    """Its logits are ten times those of a `SumServable`."""

    def predict(self, block: FeatureBlock) -> Scores:
        scores = super().predict(block)
        return Scores(scores.score, scores.logit * np.float32(10))


class OtherSpecServable(SumServable):
    """Far away, under another feature spec."""

    spec_digest = "other"


def test_a_small_step_passes() -> None:
    check_head(SumServable(2.0), SumServable(0.0), RECENT, 2.0)


@pytest.mark.parametrize(
    ("new", "message"),
    [
        pytest.param(SumServable(-8.125), r"would move recent answers by 8\.1 logits .*; the limit is 2$", id="shift"),
        pytest.param(ScaledServable(), r"by 31\.5 logits", id="scale"),
        pytest.param(NanServable(), "not finite", id="nan"),
    ],
)
def test_a_leap_is_refused(new: SumServable, message: str) -> None:
    with pytest.raises(Conflict, match=message):
        check_head(new, SumServable(), RECENT, 2.0)


@pytest.mark.parametrize(
    ("new", "current", "recent"),
    [
        pytest.param(SumServable(9), SumServable(), RECENT[1:], id="too few rows"),
        pytest.param(SumServable(9), SumServable(), [], id="no rows"),
        pytest.param(OtherSpecServable(9), SumServable(), RECENT, id="another spec"),
    ],
)
def test_what_cannot_be_compared_passes_unasked(
    new: SumServable, current: SumServable, recent: list[FeatureBlock]
) -> None:
    check_head(new, current, recent, 2.0)
    assert new.batches == current.batches == []


def test_the_current_versions_faults_are_not_the_new_ones() -> None:
    check_head(SumServable(1.0), NanServable(), RECENT, 2.0)
    with pytest.raises(Conflict, match=r"by 3\.0 logits"):
        check_head(SumServable(3.0), NanServable(), RECENT, 2.0)


def test_each_version_runs_once() -> None:
    new, current = SumServable(), SumServable()
    check_head(new, current, RECENT, 2.0)
    assert new.batches == current.batches == [LEAST_ROWS]
