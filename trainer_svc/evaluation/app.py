"""Composition of an evaluation: opens the log, reads it, and has it evaluated. Writes nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import martlet.learn as ml
from martlet.clock import Clock
from martlet.errors import InvalidInput
from martlet.runtime.config import Config
from trainer_svc.evaluation.answers import Answers
from trainer_svc.evaluation.evaluating import (
    Evaluated,
    Question,
    compared,
    counting,
    in_segments,
    measured,
    notes_on,
    over_time,
    scorers_of,
)
from trainer_svc.evaluation.log_readers import log_readers
from trainer_svc.evaluation.period import Period
from trainer_svc.evaluation.policy_value import PolicyQuestion, value_of
from trainer_svc.evaluation.reading import LogReading, read_answers
from trainer_svc.evaluation.report import EvaluationReport
from trainer_svc.evaluation.segments import BUILT_IN
from trainer_svc.event_source import EventSource
from trainer_svc.intake import IntakeRules

CACHE_BYTES = 128 << 20
_LINKS = ("sigmoid", "identity")


@dataclass(frozen=True, slots=True)
class Asked:
    """One evaluation.

    Attributes:
        question: what of each version.
        period: of which time; the question's own bounds are set from it.
        share: of the users.
        policy: another policy's value, too.
    """

    question: Question = field(default_factory=Question)
    period: Period = field(default_factory=Period)
    share: float = 1.0
    policy: PolicyQuestion | None = None


def evaluate(
    model: ml.Model, config: Config, clock: Clock, asked: Asked, progress: Callable[[float], None]
) -> EvaluationReport:
    """Reads the log to where it ends now and evaluates it.

    Raises:
        InvalidInput: no segments by that, or a label that is not evaluated.
        Corrupt: the log is damaged.
    """
    label = model.label.main
    if label.link not in _LINKS:
        raise InvalidInput("a label of several classes cannot be evaluated yet: a record holds one logit an item")
    features = tuple(name for name in asked.question.segments if name not in BUILT_IN)
    rules = IntakeRules(model.name, model.spec, label, config.trainer.dedup_window_seconds * 1_000_000)
    with log_readers(config, clock, 2) as (tail, lookup):
        source = EventSource(tail, lookup, config.trainer.read_bytes, CACHE_BYTES)
        answers = read_answers(rules, source, clock.now_us(), LogReading(features, asked.share), progress)
    measure = replace(asked.question.measure, numbers=label.link == "identity")
    return evaluated(answers, replace(asked, question=replace(asked.question, measure=measure)), model)


def evaluated(answers: Answers, asked: Asked, model: ml.Model) -> EvaluationReport:
    """The report on answers that are read."""
    newest = int(answers.times_us.max()) if len(answers) else 0
    from_us, to_us = asked.period.bounds(newest)
    question = replace(asked.question, from_us=from_us, to_us=to_us)
    found = counting(answers, question)
    kept, notes = found.answers, notes_on(found, question.measure)
    report = EvaluationReport(
        model=model.name,
        label=_label_text(model),
        numbers=question.measure.numbers,
        k=question.measure.k,
        from_us=int(kept.times_us.min()) if len(kept) else 0,
        to_us=int(kept.times_us.max()) + 1 if len(kept) else 0,
        counted=found.counted,
        notes=notes,
    )
    return _filled(report, found, question, asked.policy) if len(kept) else report


def _filled(
    report: EvaluationReport, found: Evaluated, question: Question, policy: PolicyQuestion | None
) -> EvaluationReport:
    answers, notes = found.answers, list(report.notes)
    names, missing = scorers_of(answers, question.versions)
    asked_for = [str(version) for version in question.versions if str(version) in names]
    value = None
    if policy is not None:
        numbers = question.measure.numbers
        value, why = value_of(answers, policy, numbers=numbers, draws=question.draws, seed=question.seed)
        missing += why
    return EvaluationReport(
        report.model, report.label, report.numbers, report.k, report.from_us, report.to_us, report.counted,
        notes + missing,
        [measured(answers, name, question) for name in names],
        compared(answers, asked_for, question),
        in_segments(answers, names, question),
        over_time(answers, names, question),
        value,
    )  # fmt: skip


def _label_text(model: ml.Model) -> str:
    label = model.label.main
    of = "the first task, " if label is not model.label else ""
    kind = "a number" if label.link == "identity" else "yes or no"
    return f"label: {of}{kind}, from {label.event!r} within {label.window}"
