"""`martlet evaluate`: its options, and how its report is shown."""

import argparse
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import Progress

from martlet.clock import SystemClock
from martlet.command_options import console
from martlet.errors import InvalidInput
from martlet.exploration import Exploration
from martlet.runtime.config import Config
from trainer_svc.evaluation.app import Asked, evaluate
from trainer_svc.evaluation.evaluating import Question
from trainer_svc.evaluation.html_report import render_html
from trainer_svc.evaluation.period import Period, period_of
from trainer_svc.evaluation.policy_value import PolicyQuestion
from trainer_svc.evaluation.report_tables import print_report
from trainer_svc.evaluation.scored_rows import THRESHOLD, Measure
from trainer_svc.lineages.model import load_model

OK, NOTHING = 0, 1


def add_evaluate(commands: Any, common: argparse.ArgumentParser) -> None:
    """The verb and its options."""
    parser = commands.add_parser("evaluate", help="what versions' recorded scores were worth", parents=[common])
    parser.add_argument("reference", nargs="?", metavar="MODEL", help="package.module:NAME (or trainer.model)")
    parser.add_argument("--versions", type=_versions, default=(), metavar="A,B", help="these; they are compared, too")
    parser.add_argument("--window", default="", metavar="TIME", help="the last 7d of the log, or FROM..TO in UTC")
    parser.add_argument(
        "--segments", type=_names, default=(), metavar="NAMES", help="inputs; arm, position, hour, version"
    )
    parser.add_argument("--k", type=_positive, default=10, help="how far down orders are looked at (10)")
    parser.add_argument("--threshold", type=float, default=THRESHOLD, help="probability called positive (0.5)")
    parser.add_argument("--windows", type=_positive, default=24, help="parts of the time (24)")
    parser.add_argument("--bootstrap", type=int, default=200, metavar="DRAWS", help="for intervals; 0: none (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--share", type=float, default=1.0, help="of the users, 0 to 1, for a large log")
    parser.add_argument("--policy", type=_positive, metavar="VERSION", help="what its order would have been worth")
    parser.add_argument("--policy-epsilon", type=float, default=0.0, metavar="P", help="the policy explores so")
    parser.add_argument("--policy-temperature", type=float, default=0.0, metavar="T", help="or so")
    parser.add_argument("--positions", type=_positive, default=1, help="rewards of so many first items (1)")
    parser.add_argument("--clip", type=float, help="largest weight; biases (see docs/evaluation.md)")
    parser.add_argument(
        "--direct", type=_positive, metavar="VERSION", help="direct model of the doubly robust estimate"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots here")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run_evaluate(config: Config, options: argparse.Namespace) -> int:
    """Evaluates and shows. 1: there was no answer to evaluate.

    Raises:
        InvalidInput: an option that cannot be.
        Corrupt: the log is damaged.
    """
    asked, model = _asked(options), load_model(config)
    with _progress(console_wanted=not options.json) as told:
        report = evaluate(model, config, SystemClock(), asked, told)
    if options.html is not None:
        options.html.write_text(render_html(report))
    if options.json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        print_report(console(), report)
    return OK if report.counted.answers else NOTHING


def _asked(options: argparse.Namespace) -> Asked:
    if not 0.0 < options.share <= 1.0:
        raise InvalidInput(f"--share must be above 0 and at most 1, not {options.share}")
    if not 0.0 <= options.threshold <= 1.0:
        raise InvalidInput(f"--threshold must be from 0 to 1, not {options.threshold}")
    if options.bootstrap < 0:
        raise InvalidInput(f"--bootstrap must be at least 0, not {options.bootstrap}")
    question = Question(
        versions=options.versions,
        segments=options.segments,
        windows=options.windows,
        draws=options.bootstrap,
        seed=options.seed,
        measure=Measure(k=options.k, threshold=options.threshold),
    )
    period = period_of(options.window) if options.window else Period()
    return Asked(question, period, options.share, _policy(options))


def _policy(options: argparse.Namespace) -> PolicyQuestion | None:
    if options.policy is None:
        return None
    how = Exploration(options.policy_epsilon, options.policy_temperature)
    return PolicyQuestion(options.policy, how, options.positions, options.clip, options.direct)


def _progress(*, console_wanted: bool) -> AbstractContextManager[Callable[[float], None]]:
    to = Console(stderr=True)
    return _Bar(to) if console_wanted and to.is_terminal else nullcontext(lambda _: None)


class _Bar(AbstractContextManager[Callable[[float], None]]):
    """Reading the log, as a bar on stderr."""

    def __init__(self, to: Console) -> None:
        self._progress = Progress(console=to, transient=True)

    def __enter__(self) -> Callable[[float], None]:
        self._progress.start()
        task = self._progress.add_task("reading the log", total=1.0)
        return lambda share: self._progress.update(task, completed=share)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _versions(text: str) -> tuple[int, ...]:
    return tuple(_positive(part) for part in text.split(",") if part)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
