"""Which strategy now? Pure: what is known goes in, a strategy and its reason come out."""

import math
from dataclasses import dataclass
from typing import Final

from martlet.runtime.strategy_config import StrategyConfig, StrategyName

HOUR_US: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Situation:
    """What the choice rests on.

    Attributes:
        event_time_us: how far the live learner has come, microseconds since 1970-01-01 UTC; 0: nothing was read yet.
        last_run_us: event time when the last run was asked for, or when the lineage began.
        log_examples: examples that the retained log would give a full retraining.
        window_examples: examples of the fine-tuning's window.
        new_examples: examples that the live learner has learned since the last run.
        recent_loss: mean log-loss of the live learner's tests over its recent window, nats; NaN: unknown.
        usual_loss: the same over the time before that window; NaN: unknown.
        under_way: a run is.
        changed_model: the settings name another model than the one that learns.
        tuned: the last run was a fine-tuning.
    """

    event_time_us: int
    last_run_us: int
    log_examples: int
    window_examples: int
    new_examples: int
    recent_loss: float = math.nan
    usual_loss: float = math.nan
    under_way: bool = False
    changed_model: bool = False
    tuned: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy, and why; `incremental` means that nothing begins beside the live learner."""

    strategy: StrategyName
    reason: str


def is_due(situation: Situation, settings: StrategyConfig) -> bool:
    """Whether it is time to choose, by the schedule in event time. A changed model does not wait.

    >>> is_due(Situation(2 * HOUR_US, HOUR_US, 0, 0, 0), StrategyConfig("full_retrain", every_hours=1.0))
    True
    """
    if situation.under_way or not situation.event_time_us:
        return False
    if situation.changed_model:
        return True
    passed = situation.event_time_us - situation.last_run_us
    return settings.name != "incremental" and 0 < settings.every_hours * HOUR_US <= passed


def choose(situation: Situation, settings: StrategyConfig) -> Choice:
    """The strategy to begin now.

    A strategy that the settings name is taken as it is; `auto` weighs volume, drift and budget:

    1. A changed model: `transfer`, which costs least and keeps what is known by name.
    2. Too little that is new: `incremental`.
    3. Drift (the recent loss exceeds the usual one by more than `drift_nats`): what was true before misleads now, so
       the recent window is learned again (`fine_tune`), if the budget allows it.
    4. Drift that the last run, a fine-tuning of at most two periods ago, has not ended: what was learned is in doubt
       itself, so all of the log is learned from nothing (`full_retrain`), if its own budget allows it.
    5. No drift: the live learner already has what a full retraining would learn, so `incremental`.
    """
    if settings.name not in ("auto", "incremental"):
        return Choice(settings.name, f"each {settings.every_hours:g} hours, by the settings")
    if situation.changed_model:
        return Choice("transfer", "the settings name a changed model")
    if settings.name == "incremental":
        return Choice("incremental", "by the settings")
    return _weighed(situation, settings)


def _weighed(situation: Situation, settings: StrategyConfig) -> Choice:
    new = situation.new_examples
    if new < settings.least_examples:
        return Choice("incremental", f"{new} new examples are fewer than {settings.least_examples}")
    drift = situation.recent_loss - situation.usual_loss
    if not drift > settings.drift_nats:  # NaN is no drift
        return Choice("incremental", f"no drift: the recent log-loss exceeds the usual by {drift:.4f} nats")
    budget, told = settings.budget_share * new, f"drift of {drift:.4f} nats, {new} new examples"
    if _just_tuned(situation, settings) and situation.log_examples <= settings.retrain_share * new:
        why = f"a fine-tuning has not ended it, and all {situation.log_examples} examples are within the budget"
        return Choice("full_retrain", f"{told}; {why}")
    if situation.window_examples <= budget:
        return Choice("fine_tune", f"{told}; the window of {situation.window_examples} examples is within the budget")
    return Choice("incremental", f"{told}; nothing fits into the budget of {budget:.0f} examples")


def _just_tuned(situation: Situation, settings: StrategyConfig) -> bool:
    """Whether drift is still the one that the last run answered: a later one is answered by a fine-tuning first."""
    passed = situation.event_time_us - situation.last_run_us
    return situation.tuned and passed <= 2 * settings.every_hours * HOUR_US
