"""What an evaluation says, as values: made by `evaluating`, shown by `report_tables` and `html_report`."""

from typing import Final

import msgspec

from trainer_svc.evaluation.bootstrap import Figure

REPORT_FORMAT: Final = 1


class Counted(msgspec.Struct, frozen=True):
    """What the log held, and what was evaluated of it.

    Attributes:
        answers, rows, users: evaluated.
        labelled: rows with a label.
        open: answers left out because their attribution window is not over.
        named: answers left out because the caller had named the version.
        outside: answers outside the time that was asked for.
    """

    answers: int
    rows: int
    users: int
    labelled: int
    open: int
    named: int
    outside: int


class Points(msgspec.Struct, frozen=True):
    """A line of a plot."""

    x: list[float]
    y: list[float]
    mass: list[float] = []


class Scorer(msgspec.Struct, frozen=True):
    """One scorer's figures over all its rows.

    Attributes:
        name: `served`, `head` or a version's number.
        rows, positives, answers: rows with its score and a label; answers whose order was looked at.
        coverage: share of the items seen among its first k, over all answers.
    """

    name: str
    rows: int
    positives: float
    answers: int
    figures: dict[str, Figure]
    coverage: float | None
    roc: Points | None = None
    pr: Points | None = None
    reliability: Points | None = None


class Comparison(msgspec.Struct, frozen=True):
    """One scorer's figures minus another's, on the rows that both scored, with the same users drawn for both."""

    first: str
    second: str
    rows: int
    differences: dict[str, Figure]


class SegmentRow(msgspec.Struct, frozen=True):
    """Figures of one scorer in one segment."""

    by: str
    segment: str
    scorer: str
    rows: int
    positives: float
    figures: dict[str, float | None]


class TimeWindow(msgspec.Struct, frozen=True):
    """Figures of one scorer over answers from one time (microseconds since 1970) up to another."""

    from_us: int
    to_us: int
    scorer: str
    rows: int
    positives: float
    figures: dict[str, float | None]


class Estimate(msgspec.Struct, frozen=True):
    """An estimator's word on the value of a policy, and on how much more that is than what was logged.

    Attributes:
        normal: the 95 % interval from the spread between users.
        bootstrap: the same by resampling users.
        gain: value minus the logged policy's, with its bootstrap interval.
    """

    value: float | None
    normal: tuple[float, float] | None
    bootstrap: tuple[float, float] | None
    gain: Figure


class OffPolicy(msgspec.Struct, frozen=True):
    """What another policy would have been worth (see `off_policy`).

    Attributes:
        policy: in words.
        positions: rewards of the first so many items of an answer are added up.
        answers, users: that could be used.
        without_propensity, without_scores, incomplete: answers that could not: their order had no chance in it; the
            policy's version did not score them; they hold only some of the candidates.
        logged: the mean reward of the policy that answered.
        effective_answers: Kish's (Σw)² / Σw²: so many answers of its own would tell as much.
        mean_weight: should be 1.
        largest_weight, clipped_share, lost_mass: before clipping; share of weights above the clip; the mean weight that
            clipping took away, which is the most that a reward of at most 1 a position can be underestimated by.
        least_propensity: of the items that were shown.
        without_support: share of answers whose first item the policy would never have shown there.
        warnings: what speaks against believing it.
    """

    policy: str
    positions: int
    answers: int
    users: int
    without_propensity: int
    without_scores: int
    incomplete: int
    logged: Figure
    estimates: dict[str, Estimate]
    effective_answers: float
    mean_weight: Figure
    largest_weight: float
    clip: float | None
    clipped_share: float
    lost_mass: float
    least_propensity: float
    without_support: float
    warnings: list[str]


class EvaluationReport(msgspec.Struct, frozen=True):
    """The whole.

    Attributes:
        label: in words.
        from_us, to_us: event time of the first and behind the last answer evaluated.
        notes: what a reader must know: what there was none of, what was left out.
    """

    model: str
    label: str
    numbers: bool
    k: int
    from_us: int
    to_us: int
    counted: Counted
    notes: list[str]
    scorers: list[Scorer] = []
    comparisons: list[Comparison] = []
    segments: list[SegmentRow] = []
    windows: list[TimeWindow] = []
    off_policy: OffPolicy | None = None
    format: int = REPORT_FORMAT
