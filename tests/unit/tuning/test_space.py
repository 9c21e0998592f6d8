"""Spaces and settings: what is searched, and where it goes."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from martlet.errors import InvalidInput
from martlet.runtime.config import Config, load_config
from trainer_svc.tuning.settings import configured, full_path, merged, nested
from trainer_svc.tuning.space import Choice, Range, read_space, space_of

SPACE = {
    "optimizer.rate": {"low": 1e-4, "high": 1e-2, "log": True, "steps": 3},
    "rows.rate": [0.01, 0.1],
    "trainer.batch_examples": {"low": 16, "high": 64, "whole": True, "steps": 2},
}


def test_a_grid_is_every_combination_once(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(SPACE))
    cells = list(read_space(path).cells())
    assert len(cells) == len({tuple(cell.items()) for cell in cells}) == 12
    assert {cell["optimizer.rate"] for cell in cells} == {1e-4, 1e-3, 1e-2}
    assert {cell["trainer.batch_examples"] for cell in cells} == {16, 64}


@given(st.integers(0, 2**32), st.integers(0, 500))
def test_a_draw_is_of_the_space_and_of_seed_and_number_alone(seed: int, number: int) -> None:
    space = space_of(SPACE)
    drawn = space.drawn(seed, number)
    assert drawn == space_of(SPACE).drawn(seed, number)
    assert 1e-4 <= float(str(drawn["optimizer.rate"])) <= 1e-2
    assert drawn["rows.rate"] in (0.01, 0.1)
    assert drawn["trainer.batch_examples"] in range(16, 65)
    assert drawn != space.drawn(seed, number + 1)


def test_a_logarithmic_range_has_half_its_draws_below_the_middle_factor() -> None:
    axis = Range(1e-4, 1e-2, log=True)
    below = sum(float(str(axis.at(n / 1000))) < 1e-3 for n in range(1000))
    assert 490 <= below <= 510
    assert Choice((1, 2)).at(0.999) == 2
    assert Range(1, 3, whole=True, steps=9).grid() == (1, 2, 3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({}, "a space names settings"),
        ({"rows.rate": []}, "rows.rate: give a list of values"),
        ({"rows.rate": {"low": 1}}, "rows.rate: "),
        ({"rows.rate": {"low": 2, "high": 1}}, "a range must go up"),
        ({"rows.rate": {"low": 0, "high": 1, "log": True}}, "must begin above 0"),
        ({"rows.rate": {"low": 0.5, "high": 2, "whole": True}}, "whole numbers"),
        ({"rows.rate": {"low": 1, "high": 2, "steps": 1}}, "2 steps at least"),
        ({"rows.rate": [[1]]}, "rows.rate"),
        ({"rows.rate": 3}, "rows.rate: give a list"),
    ],
)
def test_a_bad_space_is_told_by_its_setting(content: Any, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        space_of(content)


def test_a_grid_beyond_all_patience_is_refused() -> None:
    axes = {f"rows.{name}": {"low": 0, "high": 1, "steps": 20} for name in ("rate", "l1", "l2", "epsilon")}
    with pytest.raises(InvalidInput, match="160,000 cells"):
        next(space_of(axes).cells())


@given(st.integers(0, 1000))
def test_settings_read_back_from_their_file_are_the_same(number: int) -> None:
    settings = space_of(SPACE).drawn(1, number)
    written = yaml.safe_load(yaml.safe_dump(nested(settings)))
    assert written == nested(settings)
    config = configured(Config(), settings)
    assert config.learning.optimizer == {"rate": settings["optimizer.rate"]}
    assert config.trainer.batch_examples == settings["trainer.batch_examples"]


def test_the_configuration_of_a_trial_is_that_of_the_file(tmp_path: Path) -> None:
    settings = space_of(SPACE).drawn(1, 2)
    path = tmp_path / "best.yaml"
    path.write_text(yaml.safe_dump(merged({"trainer": {"threads": 2}}, nested(settings))))
    read = load_config(path, {})
    wanted = configured(load_config(None, {}), settings)
    assert (read.learning, read.trainer.batch_examples) == (wanted.learning, wanted.trainer.batch_examples)
    assert read.trainer.threads == 2


@pytest.mark.parametrize(
    "path", ["serving.host", "trainer.host", "trainer", "rows", "learning.nothing", "", "rows..rate", "learning"]
)
def test_what_learning_does_not_depend_on_cannot_be_tuned(path: str) -> None:
    if path == "rows":
        with pytest.raises(InvalidInput):
            configured(Config(), {path: 3})
        return
    with pytest.raises(InvalidInput, match="cannot be tuned"):
        full_path(path)


def test_a_setting_of_the_wrong_kind_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"trainer\.batch_examples"):
        configured(Config(), {"trainer.batch_examples": "many"})
    with pytest.raises(InvalidInput, match=r"drift\.nothing: there is no setting nothing"):
        configured(Config(), {"drift.nothing": 1})
