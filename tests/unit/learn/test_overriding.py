"""The settings' word goes before the code's, and a bad one is named."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

import martlet.learn as ml
from martlet.errors import InvalidInput
from martlet.learn.overriding import _DENSE, _ROWS
from martlet.manifest import canonical_json
from tests.unit.learn.shop import MODEL
from trainer_svc.lineages.model import learning_digest


def test_without_settings_it_is_the_model() -> None:
    assert ml.overridden(MODEL, {}) is MODEL
    assert ml.overridden(MODEL, {"optimizer": {}, "hygiene": {"x": 1}}) is MODEL


def test_fields_change_the_models_own_optimizer() -> None:
    model = ml.overridden(MODEL, yaml.safe_load("{optimizer: {l2: 1e-5}, rows: {rate: 0.1, clip: {norm: 2}}}"))
    assert isinstance(MODEL.dense, ml.Adam)
    assert isinstance(MODEL.rows, ml.RowWiseAdaGrad)
    assert model.dense == replace(MODEL.dense, l2=1e-5)
    assert model.rows == replace(MODEL.rows, rate=0.1, clip=ml.ClipNorm(2.0))
    assert (model.net, model.spec, model.label) == (MODEL.net, MODEL.spec, MODEL.label)


@pytest.mark.parametrize("kind", _DENSE)
def test_every_dense_optimizer_has_a_name(kind: str) -> None:
    model = ml.overridden(MODEL, {"optimizer": {"kind": kind, "rate": 0.3, "l1": 0.5, "l2": 0.25}})
    assert model.dense == _DENSE[kind](rate=0.3, l1=0.5, l2=0.25)


@pytest.mark.parametrize("kind", _ROWS)
def test_every_rule_of_rows_has_a_name(kind: str) -> None:
    model = ml.overridden(MODEL, {"rows": {"kind": kind, "rate": 0.3, "l1": 0.5, "l2": 0.25}})
    assert model.rows == _ROWS[kind](rate=0.3, l1=0.5, l2=0.25)


def test_none_is_forgotten() -> None:
    assert set(_DENSE.values()) == set(ml.Dense.__args__)
    assert set(_ROWS.values()) == set(ml.Rows.__args__)


@pytest.mark.parametrize(
    ("plain", "rate"),
    [
        ({"kind": "step-decay", "rate": 0.1, "every": 100}, ml.StepDecay(0.1, every=100)),
        ({"kind": "exponential", "rate": "1e-1", "factor": 0.5, "floor": 0.01}, ml.Exponential(0.1, 0.5, floor=0.01)),
        ({"kind": "cosine", "rate": 0.1, "steps": 9, "floor": 0.01}, ml.Cosine(0.1, 9, 0.01)),
        ({"kind": "warm-up", "steps": 5, "then": 0.2}, ml.WarmUp(5, 0.2)),
        (
            {"kind": "warm-up", "steps": 5, "then": {"kind": "step-decay", "rate": 0.1, "every": 3}},
            ml.WarmUp(5, ml.StepDecay(0.1, 3)),
        ),
        ({"kind": "on-plateau", "rate": 0.1, "patience": 2}, ml.OnPlateau(0.1, patience=2)),
    ],
)
def test_a_rate_may_be_a_schedule(plain: Mapping[str, Any], rate: ml.Schedule) -> None:
    assert ml.overridden(MODEL, {"rows": {"rate": plain}}).rows.rate == rate


def test_a_label_is_changed_or_replaced() -> None:
    assert ml.overridden(MODEL, {"label": {"window": "2h"}}).label == ml.Binary("click", "2h")
    stay = ml.overridden(MODEL, {"label": {"kind": "regression", "event": "dwell", "window": "1h"}})
    assert stay.label == ml.Regression("dwell", "1h")
    assert stay.head.main.link == "identity"


def test_the_digest_of_learning_covers_it() -> None:
    digests = {
        learning_digest(ml.overridden(MODEL, settings))
        for settings in ({}, {"optimizer": {"rate": 0.5}}, {"rows": {"rate": 0.5}}, {"label": {"window": "2h"}})
    }
    assert len(digests) == 4
    assert canonical_json(MODEL.dense)  # a schedule of the user's own need not be plain; the built-in ones are


def test_the_range_that_numbers_are_judged_in_may_change_at_any_time() -> None:
    """A data directory from before the label had one, or had another, goes on."""
    label = {"kind": "regression", "event": "dwell", "window": "1h"}
    ranged = label | {"low": 0.0, "high": 600.0}
    tasks = [{"kind": "multi-task", "labels": {"stay": one}} for one in (label, ranged)]
    for settings in ([label, ranged], tasks):
        assert len({learning_digest(ml.overridden(MODEL, {"label": one})) for one in settings}) == 1


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"optimizer": {"kind": "adamw"}}, "learning.optimizer: kind 'adamw' is none of sgd"),
        ({"rows": {"kind": "adamw"}}, "learning.rows: kind 'adamw' is none of sgd"),
        ({"optimizer": {"momentum": 0.9}}, r"learning.optimizer.momentum: adam, the model's own, has no such field"),
        ({"optimizer": {"kind": "sgd", "beta1": 0.9}}, "learning.optimizer.beta1: sgd has no such field"),
        ({"rows": {"rate": -1}}, "learning.rows: RowWiseAdaGrad: rate must be positive"),
        ({"rows": {"rate": "fast"}}, "learning.rows.rate: "),
        ({"rows": {"rate": {"kind": "slow"}}}, "learning.rows.rate: kind 'slow' is none of step-decay"),
        ({"rows": {"rate": {"kind": "cosine", "rate": 1.0}}}, "learning.rows.rate: .*missing"),
        ({"optimizer": {"clip": 3}}, r"learning.optimizer.clip: write \{norm: 1.0\}"),
        ({"optimizer": {"clip": {"norm": 0}}}, "learning.optimizer.clip: ClipNorm: limit must be positive"),
        ({"label": {"window": "soon"}}, "learning.label: 'soon' is no duration"),
        ({"label": {"kind": "odd"}}, "learning.label: a label's kind"),
        (
            {"label": {"kind": "multi-class", "event": "rating", "window": "1h", "classes": 3}},
            "must give float32 logits",
        ),
    ],
)
def test_a_bad_setting_is_named(settings: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        ml.overridden(MODEL, settings)
