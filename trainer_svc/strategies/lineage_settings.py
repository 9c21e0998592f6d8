"""What a lineage of a strategy learns by beside the settings of all: it stands in the first entry of its journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from martlet.errors import Corrupt
from martlet.feature_spec import FeatureSpec

SECTION = "strategy"


@dataclass(frozen=True, slots=True)
class LineageSettings:
    """Of one lineage.

    Attributes:
        frozen: patterns of the names of dense parameters that never move.
        earlier: specs that the model had before: what they laid out is read as far as it is the same.
    """

    frozen: tuple[str, ...] = ()
    earlier: tuple[FeatureSpec, ...] = ()


def settings_of(learning: Mapping[str, Any]) -> LineageSettings:
    """The settings in a journal's `Began.learning`; the defaults where there are none.

    >>> settings_of({}).frozen
    ()

    Raises:
        Corrupt: they are of a release that knows others.
    """
    try:
        return msgspec.convert(dict(learning.get(SECTION, {})), LineageSettings)
    except msgspec.ValidationError as error:
        raise Corrupt(f"the journal's settings of a strategy: {error}") from error


def with_settings(learning: Mapping[str, Any], settings: LineageSettings) -> dict[str, Any]:
    """`Began.learning` with the settings in it, as JSON knows them; without a section for the defaults."""
    rest = {name: value for name, value in learning.items() if name != SECTION}
    if settings == LineageSettings():
        return rest
    plain = {name: value for name, value in msgspec.to_builtins(settings).items() if value}
    return rest | {SECTION: msgspec.json.decode(msgspec.json.encode(plain))}
