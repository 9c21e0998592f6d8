"""The item events of the log, found without decoding the others: most records are predictions, and they are large."""

from martlet.events import ItemDelete, ItemUpsert
from martlet.v1.events_pb2 import LogRecord
from martlet.wire.events import decode_event

# A record has one field, so its payload begins with that field's tag: number and wire type (2, a message) in one byte.
_ITEM_TAGS = tuple(
    bytes([LogRecord.DESCRIPTOR.fields_by_name[name].number << 3 | 2]) for name in ("item_upsert", "item_delete")
)


def decode_item_event(payload: bytes) -> ItemUpsert | ItemDelete | None:
    """The item event in a payload, or None for an event of another kind.

    Raises:
        Corrupt, InvalidInput: an item event that cannot be read.
    """
    if not payload.startswith(_ITEM_TAGS):
        return None
    event = decode_event(payload)
    return event if isinstance(event, ItemUpsert | ItemDelete) else None
