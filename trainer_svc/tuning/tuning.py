"""The search itself: rounds of trials over a batch engine, each recorded, until they are done."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from martlet.errors import InvalidInput
from trainer_svc.batch_engine import BatchEngine
from trainer_svc.tuning.search import Search
from trainer_svc.tuning.space import Settings
from trainer_svc.tuning.trials import Stage, Trial, TrialResult, run_trial


class Records(Protocol):
    """Where results are kept."""

    def results(self) -> list[TrialResult]:
        """What is there already."""
        ...

    def add(self, results: Sequence[TrialResult]) -> None:
        """They are kept when it returns."""
        ...


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is tried.

    Attributes:
        trials: at most, besides trial 0, which has the settings as they are.
        per_round: trials that are proposed at once, and may run at once.
    """

    trials: int
    per_round: int


def tuned(
    search: Search,
    effort: Effort,
    stage: Stage,
    engine: BatchEngine,
    records: Records,
    shown: Callable[[TrialResult], None],
) -> list[TrialResult]:
    """All results, in the order of the trials. Trials that are recorded already are not run again.

    Raises:
        InvalidInput: what is recorded is of other trials.
    """
    known = {result.number: result for result in records.results()}
    found = _round([{}], 0, known, stage, engine, records)
    shown(found[0])
    while (left := effort.trials + 1 - len(found)) > 0:
        proposed = search.ask(min(effort.per_round, left))
        if not proposed:
            break
        results = _round(proposed, len(found), known, stage, engine, records)
        search.tell(results)
        for result in results:
            shown(result)
        found += results
    return found


def best_of(results: Sequence[TrialResult], *, more_is_better: bool) -> TrialResult | None:
    """The best one, of equal ones the first; None if all failed."""
    held = ranking([result for result in results if result.value is not None], more_is_better=more_is_better)
    return held[0] if held else None


def ranking(results: Sequence[TrialResult], *, more_is_better: bool) -> list[TrialResult]:
    """Best first, failed ones last."""
    sign = -1.0 if more_is_better else 1.0
    return sorted(results, key=lambda one: (one.value is None, sign * (one.value or 0.0), one.number))


def _round(
    proposed: Sequence[Settings],
    first: int,
    known: dict[int, TrialResult],
    stage: Stage,
    engine: BatchEngine,
    records: Records,
) -> list[TrialResult]:
    trials = [Trial(first + place, settings, stage) for place, settings in enumerate(proposed)]
    for trial in trials:
        if trial.number in known and known[trial.number].settings != trial.settings:
            raise InvalidInput(f"trial {trial.number} is recorded with other settings: name another results file")
    missing = [trial for trial in trials if trial.number not in known]
    if missing:
        results = engine.map(run_trial, missing)
        records.add(results)
        known |= {result.number: result for result in results}
    return [known[trial.number] for trial in trials]
