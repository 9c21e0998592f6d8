"""The `martlet` command.

`serve`, `registry`, `train`, `check`, `audit`, `evaluate`, `tune`, `encode` and `replay` become the program that does
it, with the remaining arguments; `up` starts the three services together; the others ask the running services and show
what they say.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, NoReturn

from rich.console import Console

from martlet import __version__, views
from martlet.backup_command import add_backup
from martlet.clock import SystemClock
from martlet.command_options import add_verb, config_of, console, count, places_of, print_json
from martlet.errors import InvalidInput, MartletError
from martlet.explain_command import add_explain
from martlet.forget_command import add_forget
from martlet.rollout_commands import add_rollout
from martlet.strategy_command import add_retrain
from martlet.up import Plan, Ports, child_environment, run_until_signal
from martlet.version_views import catalog, catalog_table, documents

OK, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
BECOMES: Final[Mapping[str, Sequence[str]]] = {
    "serve": ("serving_svc",),
    "registry": ("registry_svc",),
    "train": ("trainer_svc",),
    "check": ("trainer_svc", "check"),
    "audit": ("trainer_svc", "audit"),
    "backfill": ("trainer_svc", "backfill"),
    "export": ("trainer_svc", "export"),
    "evaluate": ("trainer_svc", "evaluate"),
    "encode": ("trainer_svc", "encode"),
    "publish": ("trainer_svc", "publish"),
    "tune": ("trainer_svc", "tune"),
    "replay": ("martlet.replay",),
}
SERVICES: Final = ("serve", "registry", "train")
END_SECONDS: Final = 5.0  # beyond the drain: closing files, a last checkpoint


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command. 0: done; 1: it failed or the services do; 2: bad input or setting, told in one line."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in BECOMES:
        _become(given[0], given[1:])
    options = _parser().parse_args(given)
    try:
        return int(options.run(options))
    except InvalidInput as error:
        return _complain(error, BAD_INPUT)
    except MartletError as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # as in: martlet versions shop | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return FAILED


def program(verb: str, arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment of the program that a verb becomes.

    >>> program("check", ["shop:MODEL"])[0][1:]
    ['-m', 'trainer_svc', 'check', 'shop:MODEL']
    """
    rest = list(arguments)
    model = rest.pop(0) if verb == "train" and rest and not rest[0].startswith("-") else ""
    json_logs = verb in SERVICES and "--json" in rest
    if json_logs:  # a service has no result to print; its logs become JSON
        rest.remove("--json")
    return [sys.executable, "-m", *BECOMES[verb], *rest], child_environment(model, json_logs=json_logs)


def _become(verb: str, arguments: Sequence[str]) -> NoReturn:
    command, environment = program(verb, arguments)
    os.execve(command[0], command, environment)  # noqa: S606  no shell: the same process, so signals need no forwarding


def _up(options: argparse.Namespace) -> int:
    config = config_of(options)
    if not (options.model or config.trainer.model):
        raise InvalidInput("bad setting: trainer.model is empty; name a model, as in: martlet up shop:MODEL")
    arguments = ["--data-dir", str(config.data_dir)]
    if options.config:
        arguments += ["--config", str(options.config)]
    environment = child_environment(options.model, json_logs=options.json)
    plan = Plan(arguments, environment, config.serving.drain_seconds + END_SECONDS)

    def started(ports: Mapping[str, Ports]) -> None:
        _show(options, {name: asdict(bound) for name, bound in ports.items()}, views.print_ports)

    faults = asyncio.run(run_until_signal(plan, started))
    for fault in faults:
        _complain(fault, FAILED)
    return FAILED if faults else OK


def _versions(options: argparse.Namespace) -> int:
    found = asyncio.run(catalog(places_of(options), options.model, options.last))
    if options.json:
        print_json(documents(found))
    else:
        to = console()
        to.print(catalog_table(found, to.width, SystemClock().now_us()))
    return OK


def _status(options: argparse.Namespace) -> int:
    shown = asyncio.run(views.status(places_of(options)))
    _show(options, shown, views.print_status)
    return OK if views.all_serving(shown) else FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="martlet",
        description="A recommender that never stops learning.",
        epilog="serve, registry, train, check, audit, evaluate, tune, encode and replay tell more with --help.",
    )
    parser.add_argument("--version", action="version", version=f"martlet {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    up = add_verb(verbs, "up", _up, "start trainer, registry and serving on this machine")
    up.add_argument("model", nargs="?", default="", help="the model to learn, as package.module:NAME")
    for verb, does in (
        ("serve", "run one serving replica"),
        ("registry", "run the registry"),
        ("train", "run the trainer: martlet train shop:MODEL"),
        ("check", "can this model be exported, bit for bit? martlet check shop:MODEL"),
        ("publish", "a frozen ONNX model becomes a version: martlet publish model.onnx --name NAME"),
        ("backfill", "learn a history: martlet backfill SOURCE --map map.yaml --model shop:MODEL"),
        ("export", "joined examples as Parquet: martlet export examples FILE --model shop:MODEL"),
        ("audit", "re-score served answers with the trainer's own state"),
        ("evaluate", "what versions' recorded scores were worth: martlet evaluate shop:MODEL"),
        ("encode", "announce items with vectors of their texts: martlet encode MODEL items.jsonl"),
        ("tune", "which settings would have learned best: martlet tune shop:MODEL --space space.yaml"),
        ("replay", "send a data set to serving as a live stream: martlet replay DATASET"),
    ):
        verbs.add_parser(verb, help=does, add_help=False)
    versions = add_verb(verbs, "versions", _versions, "the catalog of a model, and the place of each version now")
    versions.add_argument("model")
    versions.add_argument("--last", type=count, default=0, metavar="N", help="only the newest N")
    add_rollout(verbs)
    add_backup(verbs)
    add_forget(verbs)
    add_retrain(verbs)
    add_explain(verbs)
    add_verb(verbs, "status", _status, "health of the services; exits with 1 unless all are serving")
    return parser


def _show(options: argparse.Namespace, shown: Any, table: Callable[[Console, Any], None]) -> None:
    if options.json:
        print_json(shown)
    else:
        table(console(), shown)


def _complain(problem: object, code: int) -> int:
    sys.stderr.write(f"martlet: {problem}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
