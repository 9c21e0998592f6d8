"""From answers to the report: which scorers, which rows, which figures. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

import numpy as np
import numpy.typing as npt

from trainer_svc.evaluation.answers import HEAD, SERVED, Answers, chosen_by_split
from trainer_svc.evaluation.bootstrap import Counts, finite, with_intervals
from trainer_svc.evaluation.metrics.calibration import probabilities, reliability
from trainer_svc.evaluation.metrics.curves import Curve, pr_curve, roc_curve
from trainer_svc.evaluation.report import Comparison, Counted, Points, Scorer, SegmentRow, TimeWindow
from trainer_svc.evaluation.scored_rows import Measure, ScoredRows, figures_of, scored_rows, user_numbers
from trainer_svc.evaluation.segments import segmented

MOST_SCORERS: Final = 8
POINTS: Final = 200  # of a curve
# What small parts of the rows are told by.
PART_FIGURES: Final = ("logloss", "normalised_entropy", "roc_auc", "ece", "bias", "rmse", "mae")


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be evaluated.

    Attributes:
        versions: these; none: those that scored the most rows. Beside them always what was served.
        from_us, to_us: event time of the answers; None: no such bound.
        segments: inputs of the model, or `segments.BUILT_IN`.
        windows: parts of the time, of equal length.
        draws: of the bootstrap; 0: no intervals.
    """

    versions: Sequence[int] = ()
    from_us: int | None = None
    to_us: int | None = None
    segments: Sequence[str] = ()
    windows: int = 24
    draws: int = 200
    seed: int = 0
    measure: Measure = field(default_factory=Measure)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Answers that count, and what was left out."""

    answers: Answers
    counted: Counted


def counting(answers: Answers, question: Question) -> Evaluated:
    """The answers of the time in question that the traffic split chose and whose window is over."""
    early = np.zeros(len(answers), np.bool_) if question.from_us is None else answers.times_us < question.from_us
    outside = early if question.to_us is None else early | (answers.times_us >= question.to_us)
    named = ~outside & ~chosen_by_split(answers)
    still_open = ~outside & ~named & ~answers.mature
    kept = answers.select(~(outside | named | still_open))
    users = user_numbers(kept)[1]
    labelled = int(np.isfinite(kept.labels).sum())
    left_out = (int(part.sum()) for part in (still_open, named, outside))
    return Evaluated(kept, Counted(len(kept), kept.rows, users, labelled, *left_out))


def scorers_of(answers: Answers, versions: Sequence[int]) -> tuple[list[str], list[str]]:
    """The scorers to tell of, and a note on each version that there is nothing to tell of."""
    names = [SERVED]
    rows = {version: scores.rows.shape[0] for version, scores in answers.scores.items()}
    whole = [str(version) for version, scored in rows.items() if scored == answers.rows]
    if not any(np.array_equal(answers.head, answers.logits(name)) for name in (SERVED, *whole)):
        names.append(HEAD)  # else it would stand there twice
    missing = [version for version in versions if version not in rows]
    if versions:
        names += [str(version) for version in dict.fromkeys(versions) if version in rows]
    else:
        most = sorted(rows, key=lambda version: (-rows[version], version))[: MOST_SCORERS - len(names)]
        names += [str(version) for version in sorted(most)]
    return names, [f"version {version} scored none of these answers" for version in missing]


def measured(answers: Answers, name: str, question: Question) -> Scorer:
    """One scorer's figures, with intervals and curves."""
    measure, everything = question.measure, np.ones(answers.rows, np.bool_)
    rows = scored_rows(answers, answers.logits(name), everything, measure)
    users = user_numbers(answers)[1]
    figures = with_intervals(lambda counts: figures_of(rows, measure, counts), users, question.draws, question.seed)
    plain = Scorer(
        name, rows.rows, float(rows.labels.sum()), rows.order_users.shape[0], figures, finite(rows.coverage)
    )  # fmt: skip
    return plain if measure.numbers or not rows.rows else _with_curves(plain, rows)


def compared(answers: Answers, names: Sequence[str], question: Question) -> list[Comparison]:
    """Each two of the scorers, on the rows that both scored."""
    return [_comparison(answers, first, second, question) for first, second in combinations(names, 2)]


def in_segments(answers: Answers, names: Sequence[str], question: Question) -> list[SegmentRow]:
    """Figures of each scorer in each segment.

    Raises:
        InvalidInput: there are no segments by that.
    """
    found = []
    for by in question.segments:
        segments = segmented(answers, by)
        for number, segment in enumerate(segments.names):
            for name in names:
                rows, figures = _part(answers, name, segments.segment == number, question.measure)
                if rows.rows:
                    found.append(SegmentRow(by, segment, name, rows.rows, float(rows.labels.sum()), figures))
    return found


def over_time(answers: Answers, names: Sequence[str], question: Question) -> list[TimeWindow]:
    """Figures of each scorer in each part of the time."""
    if not len(answers) or not question.windows:
        return []
    edges = np.linspace(int(answers.times_us.min()), int(answers.times_us.max()) + 1, question.windows + 1)
    edges = edges.astype(np.int64)
    window = np.searchsorted(edges, answers.times_us, side="right") - 1
    of_row, found = window[answers.answer_of_row], []
    for number in np.unique(window).tolist():
        for name in names:
            rows, figures = _part(answers, name, of_row == number, question.measure)
            if rows.rows:
                bounds = (int(edges[number]), int(edges[number + 1]))
                found.append(TimeWindow(*bounds, name, rows.rows, float(rows.labels.sum()), figures))
    return found


def notes_on(evaluated: Evaluated, measure: Measure) -> list[str]:
    """What there is none of, said plainly."""
    answers, counted = evaluated.answers, evaluated.counted
    notes = []
    if not counted.answers:
        notes.append("no answer in this time has had its attribution window: there is nothing to evaluate")
    elif not counted.labelled:
        notes.append("no outcome has given a label in this time: only their absence could be evaluated")
    labels = answers.labels[np.isfinite(answers.labels)]
    if labels.shape[0] and not measure.numbers and np.all(labels == labels[0]):
        kind = "positive" if labels[0] else "negative"
        notes.append(f"all labels are {kind}: whatever compares positives with negatives (AUC, orders) has no value")
    if counted.users == 1:
        notes.append("all answers are of one user: no intervals can be given")
    if counted.open:
        notes.append(f"{counted.open} answers are left out: their attribution window is not over")
    if counted.named:
        notes.append(f"{counted.named} answers are left out: their callers had named the version")
    return notes


def _part(
    answers: Answers, name: str, keep: npt.NDArray[np.bool_], measure: Measure
) -> tuple[ScoredRows, dict[str, float | None]]:
    rows = scored_rows(answers, answers.logits(name), keep, measure)
    figures = figures_of(rows, measure)
    return rows, {figure: finite(figures[figure]) for figure in PART_FIGURES if figure in figures}


def _comparison(answers: Answers, first: str, second: str, question: Question) -> Comparison:
    logits, measure = [answers.logits(name) for name in (first, second)], question.measure
    both = np.isfinite(logits[0]) & np.isfinite(logits[1])
    one, other = (scored_rows(answers, own, both, measure) for own in logits)

    def difference(counts: Counts | None) -> dict[str, float]:
        theirs = figures_of(other, measure, counts)
        return {name: value - theirs[name] for name, value in figures_of(one, measure, counts).items()}

    users = user_numbers(answers)[1]
    return Comparison(first, second, one.rows, with_intervals(difference, users, question.draws, question.seed))


def _with_curves(scorer: Scorer, rows: ScoredRows) -> Scorer:
    roc, pr = roc_curve(rows.logits, rows.labels), pr_curve(rows.logits, rows.labels)
    calibration = reliability(probabilities(rows.logits), rows.labels)
    line = Points(calibration.predicted.tolist(), calibration.actual.tolist(), calibration.mass.tolist())
    return Scorer(
        scorer.name, scorer.rows, scorer.positives, scorer.answers, scorer.figures, scorer.coverage,
        _thinned(roc), _thinned(pr), line,
    )  # fmt: skip


def _thinned(curve: Curve) -> Points | None:
    """So few points that a plot looks the same; None for a curve that there is not."""
    if not np.isfinite(curve.x).all() or not np.isfinite(curve.y).all():
        return None
    moved = np.abs(np.diff(curve.x, prepend=curve.x[:1])) + np.abs(np.diff(curve.y, prepend=curve.y[:1]))
    way = np.cumsum(moved)
    steps = np.floor(way / max(float(way[-1]), 1e-12) * (POINTS - 2)) if way.shape[0] else way
    kept = np.flatnonzero(np.append(steps[1:] != steps[:-1], True)) if way.shape[0] else np.zeros(0, np.int64)
    kept = np.unique(np.concatenate([kept[:0] if not way.shape[0] else [0], kept])).astype(np.int64)
    return Points(curve.x[kept].tolist(), curve.y[kept].tolist())
