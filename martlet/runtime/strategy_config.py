"""Settings of update strategies: `learning.strategy` in the settings' file. See `docs/strategies.md`.

They say when runs begin beside the live learner, and how. What they decide reaches the live lineage by the structural
road alone, so they may change at any time; what a run's own learning depends on stands in that run's journal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec

from martlet.errors import InvalidInput

StrategyName = Literal["incremental", "full_retrain", "transfer", "fine_tune", "auto"]
RUN_NAMES: Final[tuple[StrategyName, ...]] = ("full_retrain", "transfer", "fine_tune")


@dataclass(frozen=True, slots=True)
class StrategyConfig:
    """How a model is kept up to date.

    Attributes:
        name: `incremental`: the live learner alone. `full_retrain`, `fine_tune`, `transfer`: each `every_hours` such a
            run beside it. `auto`: a run of the strategy that volume, drift and budget speak for, if any.
        every_hours: hours of event time between two runs; 0: runs begin only when asked for.
        fine_tune_hours: how far back in event time the window of a fine-tuning reaches.
        fine_tune_rate: the learning rates of a fine-tuning, as a share of the model's own.
        frozen: patterns of parameter names (as in the shell, `net.tower.*`) that a transfer keeps as they are.
        taken: patterns of the parameter names that a transfer takes over from its parent.
        spaces: patterns of the key spaces whose rows a transfer takes over.
        vectors: key space → file of pretrained vectors (Parquet or NumPy, see `trainer_svc.strategies.pretrained`).
        optimizer: whether a transfer takes the optimizers' state over (`carried`) or not (`reset`).
        budget_share: how much of the live learner's own work `auto` may spend on runs, as examples for each example.
        retrain_share: the same of a full retraining, which `auto` begins if a fine-tuning has not ended a drift.
        drift_nats: by how much the recent log-loss must exceed the earlier one for `auto` to call it drift.
        least_examples: with fewer new examples than this `auto` begins nothing.
        niceness: by how much runs give way to what is live (see nice(1)).
    """

    name: StrategyName = "incremental"
    every_hours: float = 0.0
    fine_tune_hours: float = 24.0
    fine_tune_rate: float = 0.1
    frozen: tuple[str, ...] = ()
    taken: tuple[str, ...] = ("*",)
    spaces: tuple[str, ...] = ("*",)
    vectors: Mapping[str, str] = field(default_factory=dict)
    optimizer: Literal["carried", "reset"] = "carried"
    budget_share: float = 1.0
    retrain_share: float = 4.0
    drift_nats: float = 0.02
    least_examples: int = 10_000
    niceness: int = 10


def strategy_config(plain: Mapping[str, Any]) -> StrategyConfig:
    """The settings from the section's plain form.

    >>> strategy_config({"name": "full_retrain", "every_hours": "24"}).every_hours
    24.0

    Raises:
        InvalidInput: one line naming the setting and what is wrong with it.
    """
    known = StrategyConfig.__dataclass_fields__.keys()
    odd = sorted(plain.keys() - known)
    if odd:
        raise InvalidInput(f"bad setting: learning.strategy.{odd[0]} is no setting (known here: {', '.join(known)})")
    try:
        config = msgspec.convert(dict(plain), StrategyConfig, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"bad setting: learning.strategy: {error}") from error
    _check(config)
    return config


def _check(config: StrategyConfig) -> None:
    shares = ("fine_tune_rate", "budget_share", "retrain_share")
    for name in (*shares, "every_hours", "fine_tune_hours", "drift_nats", "least_examples"):
        if not getattr(config, name) >= 0:
            raise InvalidInput(f"bad setting: learning.strategy.{name} must be 0 or more, not {getattr(config, name)}")
