"""`python -m trainer_svc`: learn. `check`: can a model be learned and served? `audit`: was it learned exactly once?

`retrain --run NAME`: a strategy's run beside the live learner, which starts it.

`evaluate`: what were versions worth? `tune`: with which settings would learning have been best? `publish`: a frozen
ONNX model becomes a version. `backfill`, `export`: history in, joined examples out.

`encode`: announce items with vectors of their texts.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

import martlet.learn as ml
from martlet.runtime.command import add_service_options, exit_code, service_config
from martlet.runtime.config import Config
from trainer_svc.app import run
from trainer_svc.audit_app import run_audit
from trainer_svc.backfill.command import add_backfill, add_export, backfill_options, check_file, time_us, told
from trainer_svc.backfill_app import begin_backfill, export_examples
from trainer_svc.check import check
from trainer_svc.evaluation.command import add_evaluate, run_evaluate
from trainer_svc.frozen.command import add_publish, run_publish
from trainer_svc.run_app import end_with_parent, run_strategy
from trainer_svc.text.command import add_encode_items, run_encode_items
from trainer_svc.tuning.command import add_tune, run_tune

PROGRAM = "martlet-trainer"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all well; 1: a check or an audit found something; 2: a bad setting or input, told in one line."""
    options = _parser().parse_args(arguments)
    return exit_code(PROGRAM, lambda: _do(options))


def _do(options: argparse.Namespace) -> int:
    if options.command == "check":
        return _check(options.model, as_json=options.json)
    return run_publish(options) if options.command == "publish" else _do_by_settings(options, service_config(options))


def _do_by_settings(options: argparse.Namespace, config: Config) -> int:
    if options.command in ("evaluate", "tune") and options.reference:
        options.model = options.reference
    if options.model:
        config = replace(config, trainer=replace(config.trainer, model=options.model))
    return _ACTIONS.get(options.command, _learn)(config, options)


def _learn(config: Config, options: argparse.Namespace) -> int:
    asyncio.run(run(config, options.ports_file, options=_found_again(options)))
    return 0


def _retrain(config: Config, options: argparse.Namespace) -> int:
    end_with_parent()
    return run_strategy(config, options.run)


def _backfill(config: Config, options: argparse.Namespace) -> int:
    print(told(begin_backfill(config, backfill_options(options)), as_json=options.json))  # noqa: T201  the report
    return 0


def _export(config: Config, options: argparse.Namespace) -> int:
    check_file(options.out)
    found = export_examples(config, options.out, time_us(options.since))
    print(told(found, as_json=options.json))  # noqa: T201  the report
    return 0


def _found_again(options: argparse.Namespace) -> list[str]:
    """The options that lead another process to the same settings."""
    named = {"--config": options.config, "--data-dir": options.data_dir, "--model": options.model}
    return [part for name, value in named.items() if value for part in (name, str(value))]


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    add_service_options(common)
    common.add_argument("--model", help="the model to learn, as package.module:NAME")
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Learns and publishes.", parents=[common])
    commands = parser.add_subparsers(dest="command")
    checked = commands.add_parser("check", help="export, parity, determinism, operators of a model")
    checked.add_argument("model", help="package.module:NAME")
    checked.add_argument("--json", action="store_true")
    audited = commands.add_parser("audit", help="learn everything again and compare", parents=[common])
    audited.add_argument("--answers", type=int, default=10_000, help="about so many answers are scored again")
    audited.add_argument("--out", type=Path, help="write the report here, as JSON")
    add_evaluate(commands, common)
    add_encode_items(commands, common)
    add_publish(commands)
    add_backfill(commands, common)
    add_export(commands, common)
    add_tune(commands, common)
    retrained = commands.add_parser(
        "retrain", help="carry a strategy's run out (the trainer starts it)", parents=[common]
    )
    retrained.add_argument("--run", required=True, metavar="NAME", help="of the run's folder")
    return parser


def _check(model: str, *, as_json: bool) -> int:
    report = check(ml.load(model))
    findings = [{"name": f.name, "passed": f.passed, "detail": f.detail} for f in report.findings]
    print(json.dumps({"passed": report.passed, "findings": findings}) if as_json else report.render())  # noqa: T201
    return 0 if report.passed else 1


def _audit(config: Config, options: argparse.Namespace) -> int:
    report = run_audit(config, options.answers)
    text = msgspec.json.encode(report).decode()
    if options.out is not None:
        options.out.write_text(text + "\n")
    print(text)  # noqa: T201  the report
    return 0 if report.digests_equal else 1


_ACTIONS: Final[Mapping[str, Callable[[Config, argparse.Namespace], int]]] = {
    "audit": _audit,
    "backfill": _backfill,
    "encode": run_encode_items,
    "evaluate": run_evaluate,
    "export": _export,
    "retrain": _retrain,
    "tune": run_tune,
}

if __name__ == "__main__":
    sys.exit(main())
