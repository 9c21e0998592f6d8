"""Settings of learning: their plain form, and that a data directory which was begun with others is refused."""

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

import martlet.learn as ml
from martlet.errors import InvalidInput
from martlet.runtime.config import Config, TrainerConfig
from martlet.runtime.learning_config import LearningConfig, changed_setting, learning_of, plain_learning
from tests.unit.trainer.world import BEGAN
from trainer_svc.audit import NoLetters
from trainer_svc.event_source import EventSource
from trainer_svc.journal import decode_entry, encode_entry
from trainer_svc.lineages.state import beginning, make_state
from trainer_svc.provenance import config_digest

MODEL = ml.linear("shop", inputs={"user": ml.Id("user_id")}, label=ml.Binary("click", "30s"))


def config_with(**learning: Any) -> Config:
    return Config(Path("somewhere"), trainer=TrainerConfig(model="shop:MODEL"), learning=LearningConfig(**learning))


def test_defaults_are_left_out_and_come_back() -> None:
    assert plain_learning(LearningConfig()) == {}
    changed = LearningConfig(rows={"rate": 0.5}, strategy={"name": "online"})
    assert plain_learning(changed) == {"rows": {"rate": 0.5}, "strategy": {"name": "online"}}
    assert learning_of(plain_learning(changed)) == changed


def test_an_entry_without_settings_of_learning_is_read_and_names_its_versions_as_before() -> None:
    old = encode_entry(BEGAN).replace(b',"learning":{}', b"")
    assert b'learning":' not in old
    assert decode_entry(old) == BEGAN
    assert config_digest(BEGAN) == "59a7e6260dd94b85"
    assert config_digest(msgspec.structs.replace(BEGAN, learning={"rows": {"rate": 0.1}})) != config_digest(BEGAN)


@pytest.mark.parametrize(
    ("begun", "wanted", "named"),
    [
        ({}, {"rows": {"rate": 0.1}}, "learning.rows.rate (begun without it, now 0.1)"),
        ({"rows": {"rate": 0.1}}, {}, "learning.rows.rate (begun with 0.1, now left out)"),
        ({"label": {"a": 1}}, {"label": {"a": 2}}, "learning.label.a (begun with 1, now 2)"),
        ({"label": {"a": 1}}, {"label": {"a": 1}}, ""),
    ],
)
def test_the_setting_that_changed_is_named(begun: dict[str, Any], wanted: dict[str, Any], named: str) -> None:
    assert changed_setting(begun, wanted) == named


def test_a_data_directory_of_other_settings_is_refused_in_one_line() -> None:
    began = beginning(MODEL, config_with(rows={"rate": 0.1}), "shop-1")
    make = lambda config: make_state(began, MODEL, config, cast("EventSource", _Nothing()), NoLetters())  # noqa: E731
    make(config_with(rows={"rate": 0.1}))
    with pytest.raises(InvalidInput, match=r"somewhere.*learning\.rows\.rate \(begun with 0\.1, now 0\.2\)") as caught:
        make(config_with(rows={"rate": 0.2}))
    assert "\n" not in str(caught.value)


class _Nothing:
    def payload(self, place: object) -> bytes:
        return b""
