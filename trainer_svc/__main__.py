"""`python -m trainer_svc`: learn; `check`: can a model be learned and served?; `audit`: was it learned exactly once?"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

import martlet.learn as ml
from martlet.errors import MartletError
from martlet.runtime.config import Config, load_config
from martlet.runtime.logs import set_up_logs
from trainer_svc.app import run, run_audit
from trainer_svc.check import check


def main(arguments: Sequence[str] | None = None) -> int:
    """0: all well; 1: a check or an audit found something; 2: a bad setting or input, told in one line."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "check":
            return _check(options.model, as_json=options.json)
        config = _config(options)
        set_up_logs(config.log)
        if options.command == "audit":
            return _audit(config, options)
        asyncio.run(run(config, options.ports_file))
    except (MartletError, OSError) as error:
        print(f"martlet-trainer: {error}", file=sys.stderr)  # noqa: T201  for whoever started it by hand
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, help="YAML settings")
    common.add_argument("--data-dir", type=Path, help="where the embedded parts live")
    common.add_argument("--model", help="the model to learn, as package.module:NAME")
    common.add_argument("--ports-file", type=Path, help="write the bound ports here, as one JSON line")
    parser = argparse.ArgumentParser(prog="martlet-trainer", description="Learns and publishes.", parents=[common])
    commands = parser.add_subparsers(dest="command")
    checked = commands.add_parser("check", help="export, parity, determinism, operators of a model")
    checked.add_argument("model", help="package.module:NAME")
    checked.add_argument("--json", action="store_true")
    audited = commands.add_parser("audit", help="learn everything again and compare", parents=[common])
    audited.add_argument("--answers", type=int, default=10_000, help="about so many answers are scored again")
    audited.add_argument("--out", type=Path, help="write the report here, as JSON")
    return parser


def _config(options: argparse.Namespace) -> Config:
    config = load_config(options.config)
    if options.data_dir is not None:
        config = replace(config, data_dir=options.data_dir)
    if options.model:
        config = replace(config, trainer=replace(config.trainer, model=options.model))
    return config


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
