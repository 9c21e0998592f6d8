"""Which features a foreign graph's inputs are made of, and which output is the score: read from a file."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import yaml

from martlet.errors import InvalidInput
from martlet.feature_encoding import ITEM_ID
from martlet.feature_spec import Feature, FeatureKind, FeatureSpec, Side

_KINDS: Final = {"number": FeatureKind.NUMBER, "vector": FeatureKind.VECTOR, "id": FeatureKind.ID}


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One feature of an input: exactly one of `number`, `vector` (with `width`) and `id`, with its source.

    Attributes:
        missing: what stands for a missing number; NaN where the model knows what to do with it.
    """

    number: str = ""
    vector: str = ""
    id: str = ""
    width: int = 0
    missing: float = 0.0


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"kind": "is"}):
    """The output that ranks.

    Attributes:
        output: its name; "" if there is but one.
        column: of an output [n, columns].
        kind: what it holds ("is" in the file).
    """

    output: str = ""
    column: int = 0
    kind: Literal["probability", "logit", "number"] = "probability"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inputs: dict[str, list[Part] | Part]
    score: Score = Score()


@dataclass(frozen=True, slots=True)
class NamedInputs:
    """What the file says.

    Attributes:
        parts: by the graph's input, the features that stand side by side in it, each with what is missing there.
        spec: all features.
    """

    parts: Mapping[str, tuple[tuple[Feature, float], ...]]
    spec: FeatureSpec
    score: Score


def read_named_inputs(path: Path) -> NamedInputs:
    """Reads the file.

    Raises:
        InvalidInput: it cannot be read; says where.
    """
    try:
        plain: Any = yaml.safe_load(path.read_text())
        file = msgspec.convert(plain, _File, strict=False)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise InvalidInput(f"{path}: {error}") from error
    taken: dict[str, int] = {}
    parts: dict[str, tuple[tuple[Feature, float], ...]] = {}
    for name, given in file.inputs.items():
        listed = given if isinstance(given, list) else [given]
        parts[name] = tuple((_feature(part, f"{path}: inputs.{name}", taken), part.missing) for part in listed)
    spec = FeatureSpec(tuple(feature for listed in parts.values() for feature, _ in listed), {})
    if not spec.features:
        raise InvalidInput(f"{path}: inputs names no feature")
    return NamedInputs(parts, spec, file.score)


def _feature(part: Part, where: str, taken: dict[str, int]) -> Feature:
    given = [(kind, source) for kind in _KINDS if (source := getattr(part, kind))]
    if len(given) != 1:
        raise InvalidInput(f"{where}: a part is a number, a vector or an id, each with its source")
    ((kind, source),) = given
    if (kind == "vector") != (part.width > 0):
        raise InvalidInput(f"{where}: {kind} {source!r}: a vector has a width, nothing else has")
    base = re.sub(r"\W", "_", source)
    taken[base] = taken.get(base, 0) + 1
    name = base if taken[base] == 1 else f"{base}_{taken[base]}"
    side = Side.ITEM if source == ITEM_ID or source.startswith("item.") else Side.USER
    return Feature(name, source, _KINDS[kind], side, max_len=part.width or 1)
