"""`python -m trainer_svc`: learn; `check`: can a model be learned and served?; `audit`: was it learned exactly once?

`evaluate`: what were versions worth? `encode`: announce items with vectors of their texts.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

import martlet.learn as ml
from martlet.runtime.command import add_service_options, exit_code, service_config
from martlet.runtime.config import Config
from trainer_svc.app import run, run_audit
from trainer_svc.check import check
from trainer_svc.evaluation.command import add_evaluate, run_evaluate
from trainer_svc.text.command import add_encode_items, run_encode_items

PROGRAM = "martlet-trainer"


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all well; 1: a check or an audit found something; 2: a bad setting or input, told in one line."""
    options = _parser().parse_args(arguments)
    return exit_code(PROGRAM, lambda: _do(options))


def _do(options: argparse.Namespace) -> int:
    if options.command == "check":
        return _check(options.model, as_json=options.json)
    config = service_config(options)
    if options.command == "encode":
        return run_encode_items(config, options)
    if options.command == "evaluate" and options.reference:
        options.model = options.reference
    if options.model:
        config = replace(config, trainer=replace(config.trainer, model=options.model))
    if options.command == "audit":
        return _audit(config, options)
    if options.command == "evaluate":
        return run_evaluate(config, options)
    asyncio.run(run(config, options.ports_file))
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
