"""The tree-structured Parzen estimator (Bergstra et al. 2011), by Optuna. Needs the extra `tune`."""

from collections.abc import Sequence

import optuna
from optuna.trial import TrialState

from trainer_svc.tuning.space import Axis, Choice, Settings, Space, Value
from trainer_svc.tuning.trials import TrialResult


class TpeSearch:
    """Draws where good trials were likelier than bad ones.

    Several proposals of one round know nothing of each other's results; the "constant liar" keeps them apart.
    """

    def __init__(self, space: Space, seed: int, *, more_is_better: bool) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self._space = space
        self._study = optuna.create_study(sampler=sampler, direction="maximize" if more_is_better else "minimize")
        self._asked: list[optuna.Trial] = []

    def ask(self, count: int) -> Sequence[Settings]:
        """The next proposals, without end."""
        self._asked = [self._study.ask() for _ in range(count)]
        return [
            {path: _suggested(trial, path, axis) for path, axis in self._space.axes.items()} for trial in self._asked
        ]

    def tell(self, results: Sequence[TrialResult]) -> None:
        """What came of them; failed ones lead away from nothing."""
        for trial, result in zip(self._asked, results, strict=True):
            failed = result.value is None
            self._study.tell(trial, result.value, state=TrialState.FAIL if failed else TrialState.COMPLETE)
        self._asked = []


def _suggested(trial: optuna.Trial, path: str, axis: Axis) -> Value:
    if isinstance(axis, Choice):
        return axis.values[trial.suggest_categorical(path, range(len(axis.values)))]
    if axis.whole:
        return trial.suggest_int(path, int(axis.low), int(axis.high), log=axis.log)
    return float(f"{trial.suggest_float(path, axis.low, axis.high, log=axis.log):.12g}")
