"""An explanation of a score, as a value."""

from dataclasses import dataclass

from martlet.events import Arm


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one feature did to the logit.

    Attributes:
        without: logit - logit without this feature alone; does not add up over features that interact.
        shapley: the Shapley value; adds up to logit - base logit.
        shapley_error: its standard error over permutations; 0 if it is exact.
    """

    feature: str
    source: str
    without: float
    shapley: float = 0.0
    shapley_error: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a version came to an item's logit, feature by feature, in the feature spec's order.

    Attributes:
        base_logit: with no feature at all.
        permutations: how many were run; 0 with `exact` or without Shapley values.
        exact: all subsets of the features were run.
    """

    model: str
    version: int
    digest: str
    arm: Arm
    score: float
    logit: float
    base_logit: float
    contributions: tuple[Contribution, ...]
    permutations: int
    exact: bool
