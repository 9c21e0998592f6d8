"""`python -m tests.conformance --target HOST:PORT --model NAME`: does this server speak the Open Inference Protocol?

Exit code 0: the score is at least --at-least; 1: it is not; 2: the server or a model could not be asked.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.conformance.case import About
from tests.conformance.cases import ALL
from tests.conformance.channel import Channel
from tests.conformance.model import Model
from tests.conformance.report import as_json, as_table, score_of
from tests.conformance.runner import Runner, given_tensors


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the kit."""
    options = _options().parse_args(arguments)
    with Channel(options.target) as channel:
        try:
            channel.wait(options.wait)
            models = [_model(channel, name, options) for name in options.model]
        except (TimeoutError, LookupError, ValueError, OSError) as error:
            print(f"conformance: {options.target}: {error}", file=sys.stderr)
            return 2
        runner = Runner(channel, models, options.version, small=options.values == "small")
        results = [runner.run(case) for case in ALL if options.only in case.id]
    if options.json:
        print(json.dumps(as_json(options.target, options.model, results), indent=1))
    else:
        print(as_table(results))
    return 0 if score_of(results) >= options.at_least else 1


def _model(channel: Channel, name: str, options: argparse.Namespace) -> Model:
    answer = channel.about(About("ModelMetadata", name, options.version))
    if answer.status != "OK":
        raise LookupError(f"model {name!r}: {answer.status} {answer.details}")
    assert isinstance(answer.reply, Model)
    model = replace(answer.reply, name=name, echoes=name in options.echo)
    if options.input_file:
        return given_tensors(model, json.loads(Path(options.input_file).read_text()).get(name, {}))
    return model


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--target", required=True, help="HOST:PORT of a gRPC server without TLS")
    parser.add_argument("--model", required=True, action="append", help="a model it serves; may be repeated")
    parser.add_argument(
        "--echo", action="append", default=[], metavar="NAME", help="a model whose outputs are its inputs"
    )
    parser.add_argument("--version", default="", help="the version to ask for (default: the server chooses)")
    parser.add_argument("--input-file", default="", help='{"MODEL": {"INPUT": {"shape": [...], "data": [...]}}}')
    parser.add_argument("--values", choices=("zeros", "small"), default="zeros", help="what inputs hold")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose id contains it")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--at-least", type=float, default=1.0, metavar="SCORE", help="the score for exit code 0")
    parser.add_argument("--wait", type=float, default=10.0, metavar="SECONDS", help="how long to wait for a connection")
    return parser


if __name__ == "__main__":
    sys.exit(main())
