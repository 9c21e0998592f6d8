"""`martlet tune`: its options, its table, and the settings that it writes."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
from rich.console import Console

from martlet.command_options import console, print_json
from martlet.runtime.config import Config
from martlet.tables import table
from trainer_svc.batch_engine import engine_of
from trainer_svc.tuning.app import Plan, tune
from trainer_svc.tuning.folds import OF_CHANCES, OF_NUMBERS
from trainer_svc.tuning.results import SearchHead
from trainer_svc.tuning.settings import merged, nested
from trainer_svc.tuning.space import read_space
from trainer_svc.tuning.trials import TrialResult
from trainer_svc.tuning.tuning import Effort, best_of, ranking

OK, ALL_FAILED = 0, 1
SEARCHES: Final = ("grid", "random", "tpe")
ENGINES: Final = ("in_process", "processes", "ray")
_METRICS: Final = {**OF_CHANCES, **OF_NUMBERS}
_MOST_TRIALS: Final = 100_000


def add_tune(commands: Any, common: argparse.ArgumentParser) -> None:
    """The verb and its options."""
    parser = commands.add_parser("tune", help="which settings would have learned best from the log", parents=[common])
    parser.add_argument("reference", nargs="?", metavar="MODEL", help="package.module:NAME (or trainer.model)")
    parser.add_argument("--space", type=Path, required=True, metavar="FILE", help="YAML: settings and their values")
    parser.add_argument("--folds", type=_positive, default=5, help="rolling-origin folds in event time (5)")
    parser.add_argument("--search", choices=SEARCHES, default="random", help="how (random); tpe needs martlet[tune]")
    parser.add_argument("--trials", type=_positive, metavar="N", help="at most (20; of a grid: all of it)")
    parser.add_argument("--metric", choices=_METRICS, default="", help="what is to be good (logloss; of numbers rmse)")
    parser.add_argument("--seed", type=int, default=0, help="of the search")
    parser.add_argument("--engine", choices=ENGINES, default="in_process", help="where trials run (in_process)")
    parser.add_argument("--workers", type=_positive, default=1, metavar="N", help="trials proposed and run at once (1)")
    parser.add_argument(
        "--results", type=Path, metavar="FILE", help="trials are kept here, and a search goes on from it"
    )
    parser.add_argument(
        "--best", type=Path, metavar="FILE", help="write the best settings here, for martlet train --config"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")


def run_tune(config: Config, options: argparse.Namespace) -> int:
    """Searches and shows. 1: every trial failed.

    Raises:
        InvalidInput: an option, a space or a setting that cannot be.
        NotFound: the log is empty.
    """
    trials = options.trials or (_MOST_TRIALS if options.search == "grid" else 20)
    results = (
        options.results or config.data_dir / "tune" / f"{config.trainer.model.rpartition(':')[2] or 'model'}.jsonl"
    )
    plan = Plan(
        read_space(options.space), options.folds, options.search, options.seed, options.metric,
        Effort(trials, options.workers), results,
    )  # fmt: skip
    head, found = tune(config, plan, engine_of(options.engine, options.workers), _shower(as_json=options.json))
    more = _METRICS[head.metric]
    best = best_of(found, more_is_better=more)
    if best is not None and options.best is not None:
        options.best.write_text(best_yaml(best, head, _content(options.config)))
    if options.json:
        print_json(_document(head, found, best))
    else:
        _print(console(), head, ranking(found, more_is_better=more), best, results)
    return OK if best is not None else ALL_FAILED


def best_yaml(best: TrialResult, head: SearchHead, base: Mapping[str, Any]) -> str:
    """The settings as `martlet train --config` takes them, those of the given file with them."""
    told = f"# Trial {best.number} of a search: {head.metric} {best.value:.6g} over {head.folds} folds.\n"
    return told + yaml.safe_dump(merged(base, nested(best.settings)), sort_keys=False)


def _content(path: Path | None) -> Mapping[str, Any]:
    content = yaml.safe_load(path.read_text()) if path is not None else None
    return content if isinstance(content, dict) else {}


def _document(head: SearchHead, found: Sequence[TrialResult], best: TrialResult | None) -> dict[str, Any]:
    return {
        "metric": head.metric,
        "folds": head.folds,
        "edges_us": list(head.edges),
        "trials": msgspec.to_builtins(list(found)),
        "best": None if best is None else msgspec.to_builtins(best),
        "settings": None if best is None else nested(best.settings),
    }


def _shower(*, as_json: bool) -> Callable[[TrialResult], None]:
    to = Console(stderr=True)

    def show(result: TrialResult) -> None:
        if not as_json and to.is_terminal:
            to.print(f"trial {result.number}: {_value(result)}", highlight=False)

    return show


def _value(result: TrialResult) -> str:
    return result.error if result.value is None else f"{result.value:.6f} ± {result.spread:.6f}"


def _print(
    to: Console, head: SearchHead, ranked: Sequence[TrialResult], best: TrialResult | None, results: Path
) -> None:
    paths = list(head.space)
    shown = table(">trial", f">{head.metric}", ">± over folds", *(f">{path}" for path in paths), "")
    for one in ranked:
        value, spread = ("–", "") if one.value is None else (f"{one.value:.6f}", f"{one.spread:.6f}")  # noqa: RUF001
        settings = (_setting(one.settings.get(path), given=path in one.settings) for path in paths)
        shown.add_row(str(one.number), value, spread, *settings, one.error or ("as it is" if not one.number else ""))
    to.print(shown)
    if best is None:
        to.print("every trial failed")
        return
    to.print(f"best is trial {best.number}; results are in {results}")
    if best.settings:
        to.print(yaml.safe_dump(nested(best.settings), sort_keys=False).rstrip())
    sys.stdout.flush()


def _setting(value: object, *, given: bool) -> str:
    if not given:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)
