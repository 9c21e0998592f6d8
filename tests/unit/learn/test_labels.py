"""What a label may say, and its plain form."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import martlet.learn as ml
from martlet.errors import InvalidInput
from martlet.manifest import canonical_json

LABELS: dict[str, ml.Label] = {
    "plain": ml.Binary("click", "30m"),
    "explicit": ml.Binary("rating", "1h", explicit=True, threshold=4.0),
    "weighted": ml.Binary(("view", ml.Outcome("purchase", 4, at_least=2.0), ml.Dwell(30)), "1d", takes_back="return"),
    "sampled": ml.Binary("click", "30m", negatives=0.1),
    "fnw": ml.Binary("click", "1d", delayed=ml.FNW("5m")),
    "fnw-sampled": ml.Binary("click", "1d", negatives=0.1, delayed=ml.FNW("5m")),
    "fnc": ml.Binary("click", "1d", delayed=ml.FNC()),
    "es-dfm": ml.Binary("click", "1d", delayed=ml.ESDFM("5m", rate=0.1)),
    "regression": ml.Regression("dwell", "1h", absent=0.0),
    "range": ml.Regression("rating", "1h", low=1.0, high=5.0),
    "median": ml.Regression("rating", "1h", huber=0.4),
    "delay": ml.Regression(("cart", "purchase"), "1h", value="delay"),
    "ranks": ml.MultiClass(("click", "cart", "purchase"), "1h"),
    "stars": ml.MultiClass("rating", "1h", classes=6),
    "tasks": ml.MultiTask({"click": ml.Binary("click", "30m"), "stay": ml.Regression("dwell", "1h")}),
}


@pytest.mark.parametrize("name", LABELS)
def test_the_plain_form_gives_the_label_back(name: str) -> None:
    label = LABELS[name]
    again = ml.label_of(ml.plain_label(label))
    assert again.tasks == label.tasks
    assert ml.plain_label(again) == ml.plain_label(label)


def test_labels_of_earlier_releases_keep_their_digest() -> None:
    """A data directory is refused if the label's digest changes: these two were taken before labels had more fields."""
    digests = [hashlib.sha256(canonical_json([ml.plain_label(label)])).hexdigest() for label in (
        ml.Binary("click", "30m"), ml.Binary("rating", "30m", explicit=True, threshold=4.0),
    )]  # fmt: skip
    assert digests == [
        "3b17c86dedc9b5c5e248cff2b86e23d1e6476c4cff4e84f0f0676b820f8a0d90",
        "e413b7e3c9dacf017c96266375242413945c8b4a16012c4aff913fa684f767df",
    ]


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        ({"kind": "ranking"}, "kind"),
        ({"event": "click"}, "window"),
        ({"event": "click", "window": "30m", "treshold": 3}, "treshold"),
        ({"event": "click", "window": 30}, "window"),
        ({"event": "", "window": "30m"}, "type of its outcomes"),
        ({"event": ["click", "click"], "window": "30m"}, "each once"),
        ({"event": [{"type": "click", "weight": -1}], "window": "30m"}, "weight"),
        ({"event": "click", "window": "30m", "negatives": 0}, "share of negatives"),
        ({"event": "click", "window": "30m", "delayed": "hope"}, "fnw"),
        ({"event": "click", "window": "30m", "delayed": {"method": "es-dfm", "wait": "30m"}}, "shorter"),
        ({"event": "click", "window": "30m", "delayed": "fnw", "takes_back": "return"}, "Wait"),
        ({"event": [{"type": "click", "weight": 2}], "window": "30m", "delayed": "fnw"}, "Wait"),
        ({"event": "click", "window": "30m", "takes_back": "click"}, "take it back"),
        ({"event": "click", "window": "30m", "explicit": True, "negatives": 0.5}, "not explicit"),
        ({"kind": "multi-class", "event": "rating", "window": "30m"}, "number"),
        ({"kind": "multi-task", "labels": {}}, "one at least"),
        ({"kind": "multi-task", "labels": {"a": {"kind": "multi-task", "labels": {}}}}, "needs one"),
        ({"kind": "regression", "event": "dwell", "window": "30m", "value": "minutes"}, "value"),
        ({"kind": "regression", "event": "dwell", "window": "30m", "low": 0}, "higher end"),
        ({"kind": "regression", "event": "dwell", "window": "30m", "low": 5, "high": 1}, "higher end"),
    ],
)
def test_what_cannot_be_is_told(plain: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        ml.label_of(plain)


@given(value=st.floats(-10, 10), least=st.floats(-10, 10))
def test_dwell_counts_from_its_least_seconds_on(value: float, least: float) -> None:
    (rule,) = ml.Binary(ml.Dwell(least), "1h").tasks
    assert rule.readings[0].label(value, 0) == (1.0 if value >= least else None)


def test_a_class_is_a_whole_number_in_range() -> None:
    (rule,) = ml.MultiClass("rating", "1h", classes=3).tasks
    assert [rule.readings[0].label(value, 0) for value in (0, 2, 3, 1.5, -1)] == [0, 2, None, None, None]
