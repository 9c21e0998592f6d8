"""`martlet encode`: announces items with the vectors of their texts."""

import argparse
import asyncio
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from martlet.client.serving import ServingClient
from martlet.command_options import dialled
from martlet.errors import InvalidInput
from martlet.feature_encoding import ItemId, Value
from martlet.runtime.config import Config
from trainer_svc.text.encoder import NarrowedEncoder, TextEncoder
from trainer_svc.text.item_vectors import in_parts, with_vectors
from trainer_svc.text.transformer import TransformerEncoder
from trainer_svc.text.vector_cache import CachedEncoder

PART: Final = 256
_OK: Final = 0


class ItemLine(msgspec.Struct, forbid_unknown_fields=True):
    """One line of the items' file."""

    item_id: int | str
    attributes: dict[str, int | float | str | list[int | str]] = {}


_LINE: Final = msgspec.json.Decoder(ItemLine)


def add_encode_items(commands: Any, common: argparse.ArgumentParser) -> None:
    """The verb and its options."""
    parser = commands.add_parser("encode", help="announce items with vectors of their texts", parents=[common])
    parser.add_argument("name", metavar="MODEL", help="the model whose items they are, by its name")
    parser.add_argument("items", type=Path, help='lines such as {"item_id": 7, "attributes": {"item.title": "Jam"}}')
    parser.add_argument("--weights", type=Path, required=True, metavar="FOLDER", help="of the encoder, from its makers")
    parser.add_argument("--width", type=int, default=64, help="components of a vector; 0: the encoder's own (64)")
    parser.add_argument("--source", default="item.title", help="the attribute with the text (item.title)")
    parser.add_argument("--to", default="item.title_vector", help="the attribute for the vector (item.title_vector)")
    parser.add_argument("--serving", metavar="HOST:PORT", help="the serving's address")


def run_encode_items(config: Config, options: argparse.Namespace) -> int:
    """Encodes and announces; says how many.

    Raises:
        InvalidInput: a line that cannot be read, or no folder of an encoder.
        Unavailable: the extra is not installed, or serving does not answer.
    """
    cached = CachedEncoder(TransformerEncoder(options.weights), config.data_dir / "text")
    encoder = NarrowedEncoder(cached, options.width) if options.width else cached
    address = options.serving or dialled(config.serving.host, config.serving.grpc_port)
    count = asyncio.run(_announce(config, options, encoder, address))
    sys.stdout.write(f"announced {count} items; {cached.computed} texts were new\n")
    return _OK


def read_items(path: Path) -> Iterator[tuple[ItemId, Mapping[str, Value]]]:
    """The items of a file, one a line; empty lines are skipped.

    Raises:
        InvalidInput: a line that is no item; the message has its number.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = _LINE.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InvalidInput(f"{path}, line {number}: {error}") from error
        yield item.item_id, cast("Mapping[str, Value]", item.attributes)


async def _announce(config: Config, options: argparse.Namespace, encoder: TextEncoder, address: str) -> int:
    count = 0
    async with ServingClient(address, config.auth.token) as serving:
        for part in in_parts(read_items(options.items), PART):
            await serving.upsert_items(options.name, with_vectors(part, encoder, options.source, options.to))
            count += len(part)
    return count
