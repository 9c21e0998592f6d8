"""The search: the same seed, the same trials; what is recorded is not run again; a failure is a result."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from martlet.errors import Corrupt, InvalidInput
from martlet.runtime.config import Config
from trainer_svc.tuning import tuning
from trainer_svc.tuning.results import ResultsFile, SearchHead, check_same
from trainer_svc.tuning.search import search_of
from trainer_svc.tuning.space import space_of
from trainer_svc.tuning.trials import Stage, Trial, TrialResult
from trainer_svc.tuning.tuning import Effort, best_of, ranking, tuned

SPACE = space_of({"rows.rate": {"low": 0.001, "high": 10.0, "log": True}, "optimizer.rate": [1, 2, 3]})
STAGE = Stage(Config(), {}, 0, (0, 1), "logloss", numbers=False)
HEAD = SearchHead("m:M", {}, SPACE.plain(), "tpe", 0, 2, 5, "logloss", {"a": 5}, 9, (1, 2))


def valley(trial: Trial) -> TrialResult:
    """Best at rows.rate 0.1, optimizer.rate 2; fails at rates above 5."""
    rate = float(str(trial.settings.get("rows.rate", 1.0)))
    if rate > 5.0:
        return TrialResult(trial.number, trial.settings, None, None, [], "it diverged")
    value = abs(rate - 0.1) + abs(float(str(trial.settings.get("optimizer.rate", 1))) - 2.0)
    return TrialResult(trial.number, trial.settings, value, 0.0)


@dataclass
class Counting:
    """Runs trials here, and counts them; dies after some."""

    deaths_after: int = 10**9
    run: list[int] = field(default_factory=list)

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        if len(self.run) >= self.deaths_after:
            raise KeyboardInterrupt
        self.run += [task.number for task in tasks]
        return [function(task) for task in tasks]


@pytest.fixture(autouse=True)
def _in_the_valley(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "run_trial", valley)


def searched(path: Path, kind: str, engine: Counting, trials: int = 11, seed: int = 3) -> list[TrialResult]:
    file = ResultsFile(path)
    if file.begun() is None:
        file.begin(HEAD)
    search = search_of(kind, SPACE, seed, more_is_better=False)
    return tuned(search, Effort(trials, 2), STAGE, engine, file, lambda _: None)


@pytest.mark.parametrize("kind", ["grid", "random", "tpe"])
@pytest.mark.parametrize("after", [1, 4, 8])
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(kind: str, after: int, tmp_path: Path) -> None:
    whole = searched(tmp_path / "whole", kind, Counting())
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path / "killed", kind, Counting(deaths_after=after))
    done = ResultsFile(tmp_path / "killed").results()
    with (tmp_path / "killed").open("ab") as file:
        file.write(b'{"number":')  # torn
    engine = Counting()
    assert searched(tmp_path / "killed", kind, engine) == whole
    assert engine.run == list(range(len(done), len(whole)))
    assert ResultsFile(tmp_path / "killed").results() == whole


def test_trial_0_is_the_settings_as_they_are_and_a_failure_stops_nothing(tmp_path: Path) -> None:
    found = searched(tmp_path / "r", "grid", Counting(), trials=10**6)
    assert found[0].settings == {}
    assert len(found) == 1 + 5 * 3
    failed = [one for one in found if one.error]
    assert len(failed) == 3
    order = ranking(found, more_is_better=False)
    assert order[-3:] == failed
    best = best_of(found, more_is_better=False)
    assert best is not None
    assert best.settings == {"rows.rate": 0.1, "optimizer.rate": 2}
    worst = best_of(found, more_is_better=True)
    assert worst is not None
    assert worst.value == max(one.value for one in found if one.value is not None)
    assert best_of(failed, more_is_better=True) is None


def test_the_estimator_finds_the_valley_better_than_chance(tmp_path: Path) -> None:
    led, chance = (
        [
            best_of(searched(tmp_path / f"{kind}{seed}", kind, Counting(), 40, seed), more_is_better=False)
            for seed in range(5)
        ]
        for kind in ("tpe", "random")
    )
    values = [[one.value for one in found if one is not None and one.value is not None] for found in (led, chance)]
    assert sum(values[0]) < sum(values[1])


def test_another_search_does_not_go_on_in_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "r"
    searched(path, "random", Counting(), trials=3)
    with pytest.raises(InvalidInput, match="recorded with other settings"):
        searched(path, "random", Counting(), trials=3, seed=4)
    other = SearchHead(**{name: getattr(HEAD, name) for name in HEAD.__struct_fields__} | {"folds": 4, "ends": {}})
    with pytest.raises(InvalidInput, match=r"another folds \(5, now 4\)"):
        check_same(HEAD, other, path)


def test_a_file_that_is_no_search_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("buy milk\n")
    with pytest.raises(Corrupt, match="does not begin as"):
        ResultsFile(path).begun()
    assert path.read_text() == "buy milk\n"


def test_a_search_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidInput, match="no search 'luck'"):
        search_of("luck", SPACE, 0, more_is_better=False)
