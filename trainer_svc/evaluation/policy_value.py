"""From answers to an off-policy report: which answers can be used, the estimates, and what speaks against them."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from martlet.errors import InvalidInput
from martlet.exploration import BEST_FIRST, Exploration
from trainer_svc.evaluation.answers import Answers
from trainer_svc.evaluation.bootstrap import LEVEL, Figure, draws_of_users
from trainer_svc.evaluation.metrics.calibration import probabilities
from trainer_svc.evaluation.metrics.ranking import totals
from trainer_svc.evaluation.off_policy import (
    Doubles,
    LoggedAnswers,
    Weighed,
    effective_size,
    estimates,
    estimates_of_sums,
    standard_errors,
    user_sums,
    weighed,
)
from trainer_svc.evaluation.report import Estimate, OffPolicy
from trainer_svc.evaluation.scored_rows import user_numbers

ESTIMATORS: Final = ("ips", "snips", "dr")
_CELLS: Final = 4_000_000  # of a padded part
_CERTAIN: Final = 1.0 - 1e-6  # the last of all candidates is taken with certainty
_Z: Final = 1.959963984540054  # the normal distribution's 97.5 % point
_FEW: Final = 100  # effective answers below which intervals are not to be believed


@dataclass(frozen=True, slots=True)
class PolicyQuestion:
    """Which policy is asked about.

    Attributes:
        version: whose scores it goes by.
        how: how it draws from them.
        positions: rewards of so many first items are added up.
        clip: weights above it count as it; None: none does.
        direct: the version whose probabilities are the direct model; None: `version`.
    """

    version: int
    how: Exploration = field(default=BEST_FIRST)
    positions: int = 1
    clip: float | None = None
    direct: int | None = None

    def __post_init__(self) -> None:
        if self.positions < 1:
            raise InvalidInput(f"positions must be at least 1, not {self.positions}")
        if self.clip is not None and not self.clip > 0.0:
            raise InvalidInput(f"a clip of weights must be above 0, not {self.clip}")


@dataclass(frozen=True, slots=True)
class _Usable:
    """bool[p] each: answers that can be used, and why others cannot."""

    kept: npt.NDArray[np.bool_]
    without_propensity: npt.NDArray[np.bool_]
    without_scores: npt.NDArray[np.bool_]
    incomplete: npt.NDArray[np.bool_]


def value_of(
    answers: Answers, asked: PolicyQuestion, *, numbers: bool, draws: int, seed: int
) -> tuple[OffPolicy | None, list[str]]:
    """The report, or why there is none. A reward is the label, 0 where no outcome came.

    `numbers`: the label is a number, and so is a version's logit.
    """
    usable = _usable(answers, asked)
    if not usable.kept.any():
        return None, [_why_none(usable, asked)]
    kept = answers.select(usable.kept)
    users, number = user_numbers(kept)
    parts = [
        weighed(part, asked.how, asked.positions, asked.clip) for part in _padded(kept, asked, users, numbers=numbers)
    ]
    together = Weighed(*(np.concatenate([getattr(part, name) for part in parts]) for name in Weighed.__slots__))
    return _report(kept, together, asked, usable, _Users(users, number, draws, seed)), []


@dataclass(frozen=True, slots=True)
class _Users:
    numbers: npt.NDArray[np.int64]
    count: int
    draws: int
    seed: int


def _usable(answers: Answers, asked: PolicyQuestion) -> _Usable:
    group = answers.answer_of_row

    def all_of(rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        return np.asarray(totals(group, rows, len(answers)) == answers.lengths, np.bool_)

    direct = asked.version if asked.direct is None else asked.direct
    scored = np.isfinite(answers.logits(str(asked.version))) & np.isfinite(answers.logits(str(direct)))
    with_propensity, with_scores = all_of(answers.propensities > 0.0), all_of(scored)
    last = answers.propensities[answers.starts[1:] - 1] if len(answers) else np.zeros(0, np.float32)
    complete = last >= _CERTAIN
    return _Usable(
        with_propensity & with_scores & complete,
        ~with_propensity,
        with_propensity & ~with_scores,
        with_propensity & with_scores & ~complete,
    )


def _why_none(usable: _Usable, asked: PolicyQuestion) -> str:
    if not usable.kept.shape[0]:
        return "no answers: nothing can be said of another policy"
    if usable.without_propensity.all():
        return (
            "no answer has propensities: all orders were best first, so nothing tells what another order would have "
            "brought; set serving.exploration_epsilon or serving.exploration_temperature, or ask for it by request"
        )
    if not (usable.incomplete.any() or usable.kept.any()):
        return f"version {asked.version} scored none of the answers that have propensities"
    return (
        "the answers hold only some of their candidates (Recommend shows k of many): what another policy would have "
        "chosen among is not recorded; answers of Rank are whole"
    )


def _padded(
    answers: Answers, asked: PolicyQuestion, users: npt.NDArray[np.int64], *, numbers: bool
) -> Iterator[LoggedAnswers]:
    """In parts of a bounded size."""
    logits = answers.logits(str(asked.version))
    direct = logits if asked.direct is None else answers.logits(str(asked.direct))
    expected = direct.astype(np.float64) if numbers else probabilities(direct)
    rewards = np.nan_to_num(answers.labels.astype(np.float64))
    longest = int(answers.lengths.max())
    size = max(1, _CELLS // longest)
    for start in range(0, len(answers), size):
        lengths = answers.lengths[start : start + size]
        present = np.arange(longest) < lengths[:, None]
        rows = slice(int(answers.starts[start]), int(answers.starts[start + lengths.shape[0]]))

        def laid_out(values: npt.NDArray[np.floating]) -> Doubles:
            cells = np.zeros(present.shape)  # noqa: B023  called at once
            cells[present] = values[rows]  # noqa: B023
            return cells

        yield LoggedAnswers(
            present,
            laid_out(rewards),
            laid_out(answers.propensities),
            laid_out(logits),
            laid_out(expected),
            users[start : start + size],
        )


def _report(kept: Answers, parts: Weighed, asked: PolicyQuestion, usable: _Usable, users: _Users) -> OffPolicy:
    values = estimates(parts)
    errors = standard_errors(parts, users.numbers, users.count)
    drawn = _drawn(parts, users)
    mean_weight = Figure(values["mean_weight"], *(_normal(values, errors, "mean_weight") or (None, None)))
    logged = Figure(values["logged"], *(_bounds(drawn["logged"]) or (None, None)))
    last = parts.unclipped[:, -1]
    lost = last - parts.weights[:, -1]
    effective = effective_size(parts.weights[:, -1])
    return OffPolicy(
        policy=_in_words(asked),
        positions=asked.positions,
        answers=len(kept),
        users=users.count,
        without_propensity=int(usable.without_propensity.sum()),
        without_scores=int(usable.without_scores.sum()),
        incomplete=int(usable.incomplete.sum()),
        logged=logged,
        estimates={name: _estimate(name, values, errors, drawn) for name in ESTIMATORS},
        effective_answers=effective,
        mean_weight=mean_weight,
        largest_weight=float(last.max()),
        clip=asked.clip,
        clipped_share=float((lost > 0.0).mean()),
        lost_mass=float((parts.unclipped - parts.weights).mean(axis=0).max()),
        least_propensity=float(kept.propensities.min()),
        without_support=float((parts.unclipped[:, 0] == 0.0).mean()),
        warnings=_warnings(mean_weight, effective, float(lost.mean()), users.count),
    )


def _drawn(parts: Weighed, users: _Users) -> dict[str, Doubles]:
    sums = user_sums(parts, users.numbers, users.count)
    drawn = [estimates_of_sums(sums, counts) for counts in draws_of_users(users.count, users.draws, users.seed)]
    return {name: np.array([one[name] for one in drawn]) for name in (*ESTIMATORS, "logged")}


def _estimate(name: str, values: dict[str, float], errors: dict[str, float], drawn: dict[str, Doubles]) -> Estimate:
    gain = values[name] - values["logged"]
    bounds = _bounds(drawn[name] - drawn["logged"]) or (None, None)
    if not math.isfinite(values[name]):
        return Estimate(None, None, None, Figure(None))
    return Estimate(values[name], _normal(values, errors, name), _bounds(drawn[name]), Figure(gain, *bounds))


def _normal(values: dict[str, float], errors: dict[str, float], name: str) -> tuple[float, float] | None:
    value, half = values[name], _Z * errors[name]
    return (value - half, value + half) if math.isfinite(half) else None


def _bounds(drawn: Doubles) -> tuple[float, float] | None:
    held = drawn[np.isfinite(drawn)]
    if not held.shape[0] or held.shape[0] < drawn.shape[0]:
        return None
    outside = (1.0 - LEVEL) / 2.0
    low, high = np.quantile(held, [outside, 1.0 - outside])
    return float(low), float(high)


def _in_words(asked: PolicyQuestion) -> str:
    order = "best first"
    if asked.how.temperature:
        order = f"drawn at temperature {asked.how.temperature:g}"
    elif asked.how.epsilon:
        order = f"best first, epsilon {asked.how.epsilon:g}"
    return f"version {asked.version}, {order}"


def _warnings(mean_weight: Figure, effective: float, lost: float, users: int) -> list[str]:
    found = []
    if mean_weight.low is not None and mean_weight.high is not None and not mean_weight.low <= 1.0 <= mean_weight.high:
        found.append(
            f"the mean weight is {mean_weight.value:.3f}, not 1: recorded propensities and the choices do not fit, or "
            "the log never shows what the policy would"
        )
    if effective < _FEW:
        found.append(f"only {effective:.0f} effective answers: intervals this far from the log are too narrow")
    if lost > 0.0:
        found.append(
            f"clipping took {lost:.3f} of the mean weight: IPS may be too low by as much for each reward of 1; "
            "SNIPS and DR are biased too, towards the log and the direct model"
        )
    if users == 1:
        found.append("all answers are of one user: the intervals mean nothing")
    return found
