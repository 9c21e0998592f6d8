"""`martlet tune` on a made-up log: it finds the planted best rate, nothing leaks from the future, a failure is told."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from martlet.eventlog.file_log import FileEventReader
from martlet.runtime.config import Config, load_config
from tests.unit.evaluation.click_log import SECOND, START, ClickLog
from trainer_svc.__main__ import main
from trainer_svc.lineages.model import load_model
from trainer_svc.tuning.settings import configured
from trainer_svc.tuning.trials import Stage, Trial, run_trial

MODEL = "tests.unit.evaluation.click_log:MODEL"
LOG = ClickLog(answers=400, users=30, taste=0.0, bias=1.5)
SPACE = {"rows.rate": [1e-7, 0.3, 1e4], "trainer.batch_examples": [64]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the log."""
    path = tmp_path_factory.mktemp("tune")
    LOG.write(Config(data_dir=path).event_log_dir)
    return path


def stage(folder: Path, answers: int = LOG.answers) -> Stage:
    config = Config(data_dir=folder)
    reader = FileEventReader(config.event_log_dir)
    end, seen = 0, 0
    for record in reader.read("serving-0", 0, 1 << 30):
        seen += b"mt1-" in record.payload
        if seen > answers:
            break
        end = record.end
    reader.close()
    config = replace(config, trainer=replace(config.trainer, model=MODEL, batch_examples=64))
    edges = tuple(START + second * SECOND for second in (100, 200, 300, 400))
    return Stage(config, {"serving-0": end}, START + 2000 * SECOND, edges, "logloss", numbers=False)


def test_the_planted_rate_is_found_and_the_file_is_what_training_takes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    best = tmp_path / "best.yaml"
    given = ["tune", MODEL, "--data-dir", str(folder), "--space", str(tmp_path / "space.yaml"), "--search", "grid",
             "--folds", "3", "--results", str(tmp_path / "r.jsonl"), "--best", str(best)]  # fmt: skip
    assert main([*given, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert found["best"]["settings"]["rows.rate"] == 0.3
    assert len(found["trials"]) == 4
    assert load_config(best, {}).learning.rows == {"rate": 0.3}
    assert load_config(best, {}).trainer.batch_examples == 64
    assert main([*given, "--json"]) == 0, "all of it is recorded: the same once more"
    assert json.loads(capsys.readouterr().out) == found
    assert main(given) == 0
    assert "best is trial 2" in capsys.readouterr().out
    assert main([*given[:-4], "--metric", "roc_auc", "--results", str(tmp_path / "r.jsonl")]) == 2
    assert "another metric" in capsys.readouterr().err


def test_a_fold_knows_nothing_of_what_comes_after_it(folder: Path) -> None:
    """The same answers, whether the log ends behind them or goes on, get the same scores."""
    whole = run_trial(Trial(1, {"rows.rate": 0.3}, stage(folder)))
    short = stage(folder, 260)
    cut = run_trial(Trial(1, {"rows.rate": 0.3}, replace(short, edges=short.edges[:2])))
    assert whole.error == cut.error == ""
    assert whole.folds[0] == cut.folds[0]
    assert whole.folds[0]["examples"] == 800.0
    again = run_trial(Trial(1, {"rows.rate": 0.3}, stage(folder)))
    assert again == whole


def test_learning_helps_from_fold_to_fold(folder: Path) -> None:
    """Scores are those of before the labels: the first fold is worse than the last, none is clairvoyant."""
    found = run_trial(Trial(1, {"rows.rate": 0.3}, stage(folder)))
    still = run_trial(Trial(2, {"rows.rate": 1e-7}, stage(folder)))
    assert found.value is not None
    assert still.value is not None
    assert found.value < still.value
    aucs = [fold["roc_auc"] for fold in found.folds]
    assert aucs[0] is not None
    assert aucs[-1] is not None
    assert aucs[0] < aucs[-1] < 0.95


def test_clicks_without_any_rule_cannot_be_foreseen(tmp_path: Path) -> None:
    """A score that had seen its own label would tell them apart, at a rate at which rows remember everything."""
    ClickLog(answers=400, users=2000, taste=0.0, bias=0.0).write(Config(data_dir=tmp_path).event_log_dir)
    found = run_trial(Trial(1, {"rows.rate": 5.0}, stage(tmp_path)))
    for fold in found.folds:
        assert fold["roc_auc"] == pytest.approx(0.5, abs=0.06)


def test_where_trials_run_makes_no_difference(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump({"rows.rate": {"low": 0.01, "high": 1.0, "log": True}}))
    given = ["tune", MODEL, "--data-dir", str(folder), "--space", str(tmp_path / "space.yaml"), "--trials", "2",
             "--workers", "2", "--folds", "2", "--json"]  # fmt: skip
    found = []
    for engine in ("in_process", "processes"):
        assert main([*given, "--engine", engine, "--results", str(tmp_path / engine)]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"rows.rate": -1.0}, "rate"),
        ({"rows.colour": 1}, "rows.colour"),
        ({"trainer.batch_examples": "x"}, "batch_examples"),
        ({"label.window": "soon"}, "duration"),
    ],
)
def test_a_failing_trial_is_a_result(folder: Path, settings: dict[str, Any], told: str) -> None:
    found = run_trial(Trial(7, settings, stage(folder)))
    assert (found.number, found.value) == (7, None)
    assert told in found.error


def test_settings_reach_the_models_own_parts() -> None:
    config = replace(Config(), trainer=replace(Config().trainer, model=MODEL))
    model = load_model(config)
    tuned = load_model(configured(config, {"rows.rate": 0.7, "optimizer.rate": 0.2, "label.window": "9s"}))
    assert (tuned.rows.rate, tuned.dense.rate, tuned.label.window_us) == (0.7, 0.2, 9 * SECOND)
    assert tuned.spec == model.spec
    assert model.label.window_us == 60 * SECOND


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"serving.host": ["a"]}, "serving.host cannot be tuned"),
        ({"rows.colour": [1]}, "rows.colour"),
        ({"rows.rate": 1}, "rows.rate: give a list"),
    ],
)
def test_a_space_that_cannot_be_searched_fails_before_any_trial(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], space: dict[str, Any], told: str
) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(space))
    given = ["tune", MODEL, "--data-dir", str(folder), "--space", str(tmp_path / "space.yaml")]
    assert main([*given, "--results", str(tmp_path / "r")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_an_empty_log_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "space.yaml").write_text(yaml.safe_dump(SPACE))
    assert main(["tune", MODEL, "--data-dir", str(tmp_path), "--space", str(tmp_path / "space.yaml")]) == 2
    assert "there is nothing to tune on" in capsys.readouterr().err
