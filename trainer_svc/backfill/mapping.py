"""Which columns of a source mean what: a small YAML file.

features: {user_id: uid, item_id: movie, item.price: price}   # a feature's source: the column
label: rating             # a column; the model's own rule makes a label of it, unless `labelled` says that it is one
time: ts                  # a column: a number in `time_unit`, or a text as in ISO 8601
time_unit: s              # s, ms or us
weight: w                 # optional columns
prediction_id: pid
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import yaml

from martlet.errors import InvalidInput

_UNITS: Final[Mapping[str, int]] = {"s": 1_000_000, "ms": 1_000, "us": 1}


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """See the module's docstring.

    Attributes:
        features: feature source → column.
        label, time: columns.
        labelled: the label's column holds labels as the model learns them, not values of outcomes.
        weight, prediction_id: columns, or "".
    """

    features: Mapping[str, str]
    label: str
    time: str
    time_unit: Literal["s", "ms", "us"] = "s"
    labelled: bool = False
    weight: str = ""
    prediction_id: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is read, once."""
        named = (*self.features.values(), self.label, self.time, self.weight, self.prediction_id)
        return tuple(dict.fromkeys(name for name in named if name))

    def time_us(self, value: Any) -> int:
        """A time as microseconds since 1970-01-01 UTC; a text without a zone is UTC.

        >>> ColumnMap({}, "l", "t").time_us(1.5)
        1500000

        Raises:
            InvalidInput: it is no time.
        """
        if isinstance(value, datetime):
            return _us(value)
        try:
            if isinstance(value, str) and not value.replace(".", "", 1).removeprefix("-").isdecimal():
                return _us(datetime.fromisoformat(value))
            return round(float(value) * _UNITS[self.time_unit])
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidInput(f"column {self.time!r}: {value!r} is no time") from error


def read_map(path: Path) -> ColumnMap:
    """Reads a file.

    Raises:
        InvalidInput: one line that names the file and what is wrong.
    """
    try:
        plain = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{path} is not YAML: {str(error).splitlines()[0]}") from error
    return column_map(plain, str(path))


def column_map(plain: Any, named: str) -> ColumnMap:
    """A mapping from its plain form; `named` stands in errors.

    Raises:
        InvalidInput: it says less or more than it should.
    """
    if not isinstance(plain, dict):
        raise InvalidInput(f"{named}: a mapping has keys such as features, label and time")
    odd = sorted(plain.keys() - ColumnMap.__dataclass_fields__.keys())
    if odd:
        raise InvalidInput(
            f"{named}: {odd[0]!r} is not known here (known: {', '.join(ColumnMap.__dataclass_fields__)})"
        )
    try:
        return msgspec.convert(plain, ColumnMap)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{named}: {error}") from error


def _us(moment: datetime) -> int:
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000_000)
