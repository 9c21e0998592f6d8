"""`martlet rollout`: looking at a model's rollouts, and an operator's word on them."""

import argparse
import asyncio
import getpass
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from math import nan
from typing import Any, Final

from martlet.client.channel import CallPolicy
from martlet.client.rollout import RolloutClient
from martlet.client.trainer import TrainerClient
from martlet.clock import SystemClock
from martlet.command_options import LARGEST_COUNT, add_verb, console, count, places_of, print_json
from martlet.errors import InvalidInput, MartletError
from martlet.rollout_screen import rollout_screen
from martlet.rollout_views import RolloutReader, RolloutScreen, document
from martlet.rollout_watch import Refresh, paint, refreshes
from martlet.rollouts import RolloutView

OK: Final = 0
NOT_DONE: Final = 1
WATCH_SECONDS: Final = 2.0
LEAST_SECONDS: Final = 0.1
MOST_SECONDS: Final = 3600.0
DECISIONS: Final = 10
DECISIONS_AFTERWARDS: Final = 3
FETCHED_PER_LINE: Final = 20  # a line may stand for many heads; see `condensed`
# Never tried again: if the reply to an abort was lost, a second one would end what had waited behind the first.
ONCE: Final = CallPolicy(timeout=5.0, tries=1)

Say = Callable[[RolloutClient, argparse.Namespace], Awaitable[None]]
Consequence = Callable[[RolloutView, argparse.Namespace], str]  # of an action, told before it is done; "": none


def add_rollout(verbs: Any) -> None:
    """Adds `rollout` and its actions to the command's verbs."""
    rollout = verbs.add_parser(
        "rollout", help="who answers what, the evidence, and an operator's word", description="A model's rollouts."
    )
    actions = rollout.add_subparsers(title="actions", metavar="ACTION", required=True)
    show = add_verb(actions, "show", _show, "lanes and shares, the evidence, what is awaited, the newest decisions")
    show.add_argument("model")
    show.add_argument(
        "--watch", nargs="?", type=_seconds, const=WATCH_SECONDS, metavar="SECONDS", help="again and again until Ctrl-C"
    )
    show.add_argument(
        "--decisions", type=count, default=DECISIONS, metavar="N", help=f"so many of the newest ({DECISIONS})"
    )
    _action(actions, "promote", _promote, "make the candidate, or the structural version under way, the pin at once")
    _action(
        actions,
        "abort",
        _abort,
        "end the structural version under way; without one, close the live lane",
        lambda view, _: _ends(view),
    )
    _action(
        actions,
        "pin",
        _pin,
        "send everything to a version that was the pin before; training goes back there",
        lambda view, options: _goes(view, options.version),
    )
    _action(actions, "thaw", _thaw, "let a frozen model be published again")
    readmit = add_verb(actions, "readmit", _readmit, "try what an alarm took back again, as a structural version")
    readmit.add_argument("model")
    readmit.add_argument("epoch", type=count, help="the epoch that the alarm began (see `rollout show`)")
    readmit.add_argument("--why", required=True, metavar="TEXT", help="stands in the trainer's log")
    readmit.add_argument("--who", default="", metavar="NAME", help="stands beside it (the name you are logged in with)")


def _action(actions: Any, name: str, say: Say, does: str, consequence: Consequence | None = None) -> None:
    """An operator's word; one with consequences asks before it does anything, if there is someone to ask."""
    parser = add_verb(actions, name, _steer, does)
    parser.set_defaults(say=say, consequence=consequence, yes=consequence is None)
    parser.add_argument("model")
    if name in ("promote", "pin"):
        parser.add_argument("version", type=count)
    parser.add_argument("--why", required=True, metavar="TEXT", help="stands in the journal")
    parser.add_argument("--who", default="", metavar="NAME", help="stands beside it (the name you are logged in with)")
    if consequence is not None:
        parser.add_argument("--yes", action="store_true", default=False, help="do not ask; on a pipe nothing is asked")


def _show(options: argparse.Namespace) -> int:
    if options.watch is not None:
        with suppress(KeyboardInterrupt):  # that is how one stops watching
            asyncio.run(_watch(options))
        return OK
    _print(asyncio.run(_read(options, _fetched(options))), options)
    return OK


def _steer(options: argparse.Namespace) -> int:
    options.who = options.who or _user()
    if not options.yes and sys.stdin.isatty() and (refusal := _refusal(options)) is not None:
        sys.stderr.write(f"martlet: {refusal}nothing was changed\n")
        return NOT_DONE
    asyncio.run(_say(options))
    options.decisions = DECISIONS_AFTERWARDS
    try:
        screen = asyncio.run(_read(options, _fetched(options)))
    except MartletError as error:  # no reason to say it again
        sys.stderr.write(f"martlet: done; what stands now cannot be seen: {error}\n")
        return OK
    _print(screen, options)
    return OK


def _readmit(options: argparse.Namespace) -> int:
    version = asyncio.run(_readmitted(options))
    if options.json:
        print_json({"model": options.model, "epoch": options.epoch, "version": version})
    else:
        console().print(
            f"{options.model}: version {version} is on the structural road, with what epoch {options.epoch} took back"
        )
    return OK


async def _readmitted(options: argparse.Namespace) -> int:
    places = places_of(options)
    client = TrainerClient(places.trainer, places.token, tls=places.tls)
    try:
        return await client.readmit(options.model, options.epoch, options.who or _user(), options.why)
    finally:
        await client.close()


async def _say(options: argparse.Namespace) -> None:
    places = places_of(options)
    client = RolloutClient(places.registry, places.token, ONCE, places.tls)
    try:
        await options.say(client, options)
    finally:
        await client.close()


async def _watch(options: argparse.Namespace) -> None:
    clock = SystemClock()
    async with RolloutReader(places_of(options)) as reader:
        looks = refreshes(reader, options.model, _fetched(options), options.watch, clock)
        if options.json:
            await _write(looks)
        else:
            await paint(looks, console(), options.decisions, clock)


async def _write(looks: AsyncIterator[Refresh]) -> None:
    async for look in looks:
        if look.lost:
            sys.stderr.write(f"martlet: {look.lost}\n")
        else:
            print_json(document(look.screen))


async def _read(options: argparse.Namespace, decisions: int) -> RolloutScreen:
    async with RolloutReader(places_of(options)) as reader:
        return await reader.read(options.model, decisions)


async def _promote(client: RolloutClient, options: argparse.Namespace) -> None:
    await client.promote(options.model, options.version, options.who, options.why)


async def _abort(client: RolloutClient, options: argparse.Namespace) -> None:
    await client.abort(options.model, options.who, options.why)


async def _pin(client: RolloutClient, options: argparse.Namespace) -> None:
    await client.pin(options.model, options.version, options.who, options.why)


async def _thaw(client: RolloutClient, options: argparse.Namespace) -> None:
    await client.thaw(options.model, options.who, options.why)


def _ends(view: RolloutView) -> str:
    if view.head_version == view.pin_version and not view.structural_version:
        return ""  # the registry says that there is nothing to end
    if view.structural_version:
        return f"{view.model}: structural version {view.structural_version}, in {view.structural_phase}, is taken back."
    return (
        f"{view.model}: versions {view.pin_version + 1} to {view.head_version} are taken back, version "
        f"{view.pin_version} answers everything, and training goes back to it."
    )


def _goes(view: RolloutView, version: int) -> str:
    if version >= view.pin_version:
        return ""  # the registry says that it cannot be
    return (
        f"{view.model}: all versions above {version} are taken back, the pin {view.pin_version} and the head "
        f"{view.head_version} among them; version {version} answers everything, and training goes back to it."
    )


def _refusal(options: argparse.Namespace) -> str | None:
    """Asks whether to go on. None: yes; else why not, to be put before "nothing was changed"."""
    before = asyncio.run(_read(options, 0)).view
    consequence = options.consequence(before, options)
    if not consequence:
        return None
    if not _agreed(consequence):
        return ""
    # A question may stand unanswered for long, and what was agreed to is not there any more.
    now = asyncio.run(_read(options, 0)).view
    same = (now.epoch, now.structural_version) == (before.epoch, before.structural_version)
    return None if same else "something else was decided meanwhile; "


def _agreed(consequence: str) -> bool:
    """Asks on the terminal, on stderr: stdout may be read by a program."""
    sys.stderr.write(f"{consequence}\nGo on? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print(screen: RolloutScreen, options: argparse.Namespace) -> None:
    if options.json:
        print_json(document(screen))
        return
    to = console()
    to.print(rollout_screen(screen, to.width, SystemClock().now_us(), options.decisions))


def _fetched(options: argparse.Namespace) -> int:
    """How many decisions to ask for. A line on the screen may stand for many."""
    wanted: int = options.decisions * (1 if options.json else FETCHED_PER_LINE)
    return min(wanted, LARGEST_COUNT)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # in a container the user may have no name
        raise InvalidInput("who are you? The user has no name here; give one with --who") from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = nan
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds from {LEAST_SECONDS} to {MOST_SECONDS}; "
            "the model comes first, as in: martlet rollout show shop --watch"
        )
    return seconds
