"""`martlet explain`: why an item has the score that it has."""

import argparse
import asyncio
import json
from dataclasses import asdict
from math import isnan
from typing import Any, Final

from rich.text import Text

from martlet.client.serving import ServingClient
from martlet.command_options import add_verb, console, count, places_of, print_json
from martlet.explanation import Contribution, Explanation
from martlet.feature_encoding import ItemId, Value
from martlet.tables import table

OK: Final = 0


def add_explain(verbs: Any) -> None:
    """Adds `explain` to the command's verbs."""
    parser = add_verb(verbs, "explain", _explain, "what each feature did to the score of an item")
    parser.add_argument("model")
    parser.add_argument("item", type=id_of, help="a number, or a text (JSON quotes make a text of a number)")
    parser.add_argument("--user", type=id_of, metavar="ID", help="left out: nobody in particular")
    parser.add_argument(
        "--context", type=named_value, action="append", default=[], metavar="NAME=VALUE", help='hour=13, recent=["a",2]'
    )
    parser.add_argument(
        "--feature",
        type=named_value,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="of the item, such as item.price=9.5; the others are as they were announced",
    )
    parser.add_argument(
        "--shapley", type=count, default=0, metavar="N", help="Shapley values too, from at most N permutations"
    )
    parser.add_argument("--seed", type=count, default=0, metavar="N", help="of the permutations")
    parser.add_argument("--version", type=count, default=0, metavar="N", help="a version; 0: the one that would answer")


def id_of(text: str) -> ItemId:
    """An id from the command line.

    >>> id_of("5"), id_of('"5"'), id_of("toy-story")
    (5, '5', 'toy-story')
    """
    value = _value(text)
    return value if isinstance(value, int | str) else text


def named_value(text: str) -> tuple[str, Value]:
    """A feature value from the command line: JSON, and what is no JSON is a text.

    >>> named_value("hour=13"), named_value('genres=["a", 2]'), named_value("brand=acme")
    (('hour', 13), ('genres', ['a', 2]), ('brand', 'acme'))

    Raises:
        ArgumentTypeError: there is no `=`, or the value is neither number, text nor a list of ids.
    """
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, _value(value)


def _value(text: str) -> Value:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    ids = isinstance(value, list) and all(isinstance(item, int | str) and not isinstance(item, bool) for item in value)
    if isinstance(value, bool) or not (ids or isinstance(value, int | float | str)):
        raise argparse.ArgumentTypeError(f"{text} is neither a number, a text nor a list of ids")
    found: Value = value
    return found


def _explain(options: argparse.Namespace) -> int:
    explanation = asyncio.run(_asked(options))
    if options.json:
        print_json(_document(explanation))
    else:
        to = console()
        to.print(_heading(options, explanation))
        to.print(_table(explanation))
        to.print(_footing(explanation), style="dim")
    return OK


async def _asked(options: argparse.Namespace) -> Explanation:
    places = places_of(options)
    async with ServingClient(places.serving, places.token, tls=places.tls) as client:
        return await client.explain(
            options.model,
            options.user,
            options.item,
            dict(options.context),
            features=dict(options.feature),
            permutations=options.shapley,
            seed=options.seed,
            version=options.version,
        )


def _document(explanation: Explanation) -> dict[str, Any]:
    shown = asdict(explanation) | {"arm": explanation.arm.name.lower()}
    for part in shown["contributions"]:
        if isnan(part["shapley_error"]):
            part["shapley_error"] = None  # JSON has no NaN
    return shown


def _heading(options: argparse.Namespace, explanation: Explanation) -> Text:
    return Text(
        f"{explanation.model} version {explanation.version}: item {options.item!r} has score {explanation.score:.4f}"
        f" (logit {explanation.logit:+.4f}; without any feature {explanation.base_logit:+.4f})"
    )


def _table(explanation: Explanation) -> Any:
    columns = ["feature", "from", ">without it"] + ([">Shapley", ">±"] if _has_shapley(explanation) else [])
    shown = table(*columns, "")
    for part in sorted(explanation.contributions, key=lambda part: -_size(part)):
        values = [f"{part.without:+.4f}"]
        if _has_shapley(explanation):
            error = "" if explanation.exact or isnan(part.shapley_error) else f"{part.shapley_error:.4f}"
            values += [f"{part.shapley:+.4f}", error]
        shown.add_row(part.feature, part.source, *values, "")
    return shown


def _footing(explanation: Explanation) -> str:
    says = "Without it: how much lower the logit is when this feature alone is left out; these do not add up."
    if not _has_shapley(explanation):
        return says
    total = sum(part.shapley for part in explanation.contributions)
    how = "all subsets of the features" if explanation.exact else f"{explanation.permutations} permutations"
    return f"{says}\nShapley values, from {how}, add up to {total:+.4f} = logit - logit without any feature."


def _has_shapley(explanation: Explanation) -> bool:
    return explanation.exact or explanation.permutations > 0


def _size(part: Contribution) -> float:
    return abs(part.shapley) or abs(part.without)
