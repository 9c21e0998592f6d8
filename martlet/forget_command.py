"""`martlet forget`: a user's erasure is asked of the trainer, and watched until nothing is left."""

import argparse
import asyncio
import getpass
from dataclasses import asdict
from typing import Any, Final

from martlet.client.trainer import TrainerClient
from martlet.command_options import add_verb, console, places_of, print_json
from martlet.feature_encoding import ItemId
from martlet.wire.trainer import Erasure, ErasureState

POLL_SECONDS: Final = 0.5
OK: Final = 0


def add_forget(verbs: Any) -> None:
    """The verb and its options."""
    forget = add_verb(verbs, "forget", _forget, "erase a user: rows at once, then events and old versions")
    forget.add_argument("model")
    forget.add_argument("user", help="the user's id; digits mean a number")
    forget.add_argument("--text", action="store_true", help="the id is a text, though it looks like a number")
    forget.add_argument("--why", required=True, metavar="TEXT", help="stands in the trainer's log")
    forget.add_argument("--who", default="", metavar="NAME", help="stands beside it (the name you are logged in with)")
    forget.add_argument("--wait", action="store_true", help="until nothing is left, which waits for the pin to move")


def user_of(text: str, *, is_text: bool) -> ItemId:
    """The id that a command line means.

    >>> user_of("-5", is_text=False), user_of("7", is_text=True)
    (-5, '7')
    """
    return int(text) if not is_text and text.removeprefix("-").isdecimal() and text.isascii() else text


def _forget(options: argparse.Namespace) -> int:
    erasure = asyncio.run(_forgotten(options))
    if options.json:
        print_json(asdict(erasure) | {"state": erasure.state.name})
    elif erasure.state is ErasureState.ERASED:
        console().print(f"erased: {erasure.rows} rows, {erasure.events} events, {erasure.versions} versions")
    else:
        console().print(f"forgotten: {erasure.rows} rows are gone; events and old versions go once the pin has moved")
    return OK


async def _forgotten(options: argparse.Namespace) -> Erasure:
    places = places_of(options)
    client = TrainerClient(places.trainer, places.token, tls=places.tls)
    try:
        user = user_of(options.user, is_text=options.text)
        erasure = await client.forget(options.model, user, options.who or getpass.getuser(), options.why)
        while options.wait and erasure.state is not ErasureState.ERASED:
            await asyncio.sleep(POLL_SECONDS)
            known = {one.id: one for one in await client.erasures(options.model)}
            erasure = known.get(erasure.id, erasure)
    finally:
        await client.close()
    return erasure
