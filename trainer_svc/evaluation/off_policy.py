"""Off-policy evaluation: what another policy would have been worth, from answers whose order had chance in it.

The unit is a choice: at each position the logging policy took one of the items left, with the probability that is
recorded. The weight of position l is w_l = Π over j ≤ l of π(item j | items above) / μ(item j | items above): what
stands at and above a position may matter to its reward, what stands below may not (the cascade assumption; McInerney et
al. 2020, "reward interaction" inverse propensity scoring). With one position this is the plain contextual bandit.

    IPS    mean over answers of Σ_l w_l · r_l                                 (Horvitz and Thompson 1952)
    SNIPS  Σ_l (Σ w_l · r_l) / (Σ w_l)                                        (Swaminathan and Joachims 2015)
    DR     mean of Σ_l [w_l · (r_l - q_l) + w_(l-1) · Σ_a π(a | above) · q(a)]   (Dudík et al. 2011, by position)

where q, the direct model, is a version's own probability. IPS and DR are unbiased if μ > 0 wherever π > 0 and nothing
is clipped; SNIPS is consistent.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from martlet.exploration import Exploration
from trainer_svc.evaluation.metrics.ranking import totals
from trainer_svc.evaluation.policies import choice_probabilities

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LoggedAnswers:
    """a answers, padded to n items each, in the order answered.

    Attributes:
        present: bool[a, n], where there is an item.
        rewards: float64[a, n].
        propensities: float64[a, n], of each item given those above it; above 0 where there is an item.
        logits: float64[a, n], of the policy's version.
        direct: float64[a, n], the direct model's expected reward of each item.
        users: int64[a], numbers from 0.
    """

    present: npt.NDArray[np.bool_]
    rewards: Doubles
    propensities: Doubles
    logits: Doubles
    direct: Doubles
    users: npt.NDArray[np.int64]

    @property
    def size(self) -> int:
        """Number of answers, a."""
        return int(self.users.shape[0])


@dataclass(frozen=True, slots=True)
class Weighed:
    """What the estimators are made of, for each answer and position: float64[a, positions].

    Attributes:
        weights: w_l, clipped.
        unclipped: w_l.
        rewards: r_l; 0 where there is no such position.
        predicted: q_l of the item that was shown.
        expected: the direct model's value of the policy's choice, times the weight of the position above.
    """

    weights: Doubles
    unclipped: Doubles
    rewards: Doubles
    predicted: Doubles
    expected: Doubles


def weighed(answers: LoggedAnswers, policy: Exploration, positions: int, clip: float | None) -> Weighed:
    """Weighs the first positions of each answer; a weight above `clip` counts as `clip`.

    A position that an answer has not has weight 1 times those above, and no reward: it changes nothing.
    """
    columns: dict[str, list[Doubles]] = {
        name: [] for name in ("weights", "unclipped", "rewards", "predicted", "expected")
    }
    above = np.ones(answers.size)
    for place in range(min(positions, answers.present.shape[1])):
        here = answers.present[:, place]
        chances = choice_probabilities(answers.logits[:, place:], answers.present[:, place:], policy)
        expected = (chances * answers.direct[:, place:]).sum(axis=1)
        clipped_above = above if clip is None else np.minimum(above, clip)
        ratio = np.divide(chances[:, 0], answers.propensities[:, place], out=np.ones(answers.size), where=here)
        above = above * ratio
        columns["unclipped"].append(above)
        columns["weights"].append(above if clip is None else np.minimum(above, clip))
        columns["rewards"].append(np.where(here, answers.rewards[:, place], 0.0))
        columns["predicted"].append(np.where(here, answers.direct[:, place], 0.0))
        columns["expected"].append(np.where(here, clipped_above * expected, 0.0))
    return Weighed(**{name: np.stack(parts, axis=1) for name, parts in columns.items()})


def estimates(weighed_: Weighed, counts: Doubles | None = None) -> dict[str, float]:
    """Values of the policy, and of the one that was logged. `counts`: how often each answer counts, float64[a]."""
    n = np.ones(weighed_.weights.shape[0]) if counts is None else counts
    return {name: float(n @ parts) / float(n.sum()) for name, parts in _means(weighed_).items()} | {
        "snips": float(np.sum(_self_normalised(weighed_, n)))
    }


def estimates_of_sums(sums: Mapping[str, Doubles], counts: Doubles) -> dict[str, float]:
    """As `estimates`, from sums of users (see `user_sums`) and how often each user is drawn: float64[users]."""
    whole = float(counts @ sums["answers"])
    found = {name: float(counts @ sums[name]) / whole for name in ("ips", "dr", "logged", "mean_weight")}
    mass = counts @ sums["weights"]
    worth = np.divide(counts @ sums["worth"], mass, out=np.full_like(mass, np.nan), where=mass > 0.0)
    return found | {"snips": float(worth.sum())}


def user_sums(weighed_: Weighed, users: npt.NDArray[np.int64], number: int) -> dict[str, Doubles]:
    """Sums over each user's answers, float64[users] or float64[users, positions]: all that resampling users needs."""
    means = {name: totals(users, parts, number) for name, parts in _means(weighed_).items()}
    columns = {"weights": weighed_.weights, "worth": weighed_.weights * weighed_.rewards}
    by_position = {
        name: np.stack([totals(users, column, number) for column in parts.T], axis=1) for name, parts in columns.items()
    }
    return means | by_position | {"answers": totals(users, np.ones(users.shape[0]), number)}


def standard_errors(weighed_: Weighed, users: npt.NDArray[np.int64], number: int) -> dict[str, float]:
    """Of each estimate, with users as the units that are independent: √(Σ over users of (Σ of deviations)²) / answers.

    That of SNIPS is of its linearisation, w · (r - value) / mean w.
    """
    found = estimates(weighed_)
    deviations = {name: parts - found[name] for name, parts in _means(weighed_).items()}
    values = _self_normalised(weighed_, np.ones(weighed_.weights.shape[0]))
    mass = np.maximum(weighed_.weights.mean(axis=0), np.finfo(np.float64).tiny)
    deviations["snips"] = (weighed_.weights * (weighed_.rewards - values) / mass).sum(axis=1)
    size = weighed_.weights.shape[0]
    return {
        name: float(np.sqrt(np.sum(totals(users, parts, number) ** 2)) / size) for name, parts in deviations.items()
    }


def effective_size(weights: Doubles) -> float:
    """(Σw)² / Σw² (Kish 1965): so many answers of the policy's own would tell as much; 0 without any weight."""
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares > 0.0 else 0.0


def _means(weighed_: Weighed) -> dict[str, Doubles]:
    """What is averaged over answers: float64[a] each."""
    corrected = weighed_.weights * (weighed_.rewards - weighed_.predicted) + weighed_.expected
    return {
        "ips": (weighed_.weights * weighed_.rewards).sum(axis=1),
        "dr": corrected.sum(axis=1),
        "logged": weighed_.rewards.sum(axis=1),
        "mean_weight": weighed_.unclipped[:, -1],
    }


def _self_normalised(weighed_: Weighed, counts: Doubles) -> Doubles:
    """SNIPS of each position, float64[positions]; NaN where no answer has any weight."""
    mass = counts @ weighed_.weights
    worth = counts @ (weighed_.weights * weighed_.rewards)
    return np.divide(worth, mass, out=np.full_like(mass, np.nan), where=mass > 0.0)
