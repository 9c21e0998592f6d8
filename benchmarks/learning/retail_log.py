"""UCI Online Retail (Chen 2015): a year of a gift shop's sales. No package has it; a folder that is named does.

The folder holds `online_retail/events.parquet` with the columns timestamp, user_id, item (its description), event_type
(purchase or return) and country.
"""

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.training.rival import SCRIPTS, Rival, environment

Int64s = npt.NDArray[np.int64]
READER: Final = Rival("parquet_columns", ("pyarrow==26.0.1", "numpy"))
COLUMNS: Final = ("timestamp", "user_id", "item", "event_type", "country")
NO_GOODS: Final = (
    "POSTAGE", "DOTCOM POSTAGE", "CARRIAGE", "Next Day Carriage", "Manual", "Discount", "Bank Charges",
    "CRUK Commission", "High Resolution Image", "PADS TO MATCH ALL CUSHIONS",
)  # fmt: skip
_COPY: Final = Path("out/bench/online_retail.npz")


@dataclass(frozen=True, slots=True, eq=False)
class Sales:
    """Purchases of goods in time order.

    Attributes:
        users, items, countries: int64[n].
        times: int64[n], seconds since 1970, by whole minutes: the lines of an invoice have one time.
        titles: what the numbers of items stand for.
    """

    users: Int64s
    items: Int64s
    countries: Int64s
    times: Int64s
    titles: tuple[str, ...]


@cache
def sales() -> Sales | None:
    """The log, or None where it is not at hand: LOGS names no folder that has it, or it cannot be read."""
    source = Path(os.environ.get("LOGS", "")) / "online_retail" / "events.parquet"
    if not os.environ.get("LOGS") or not source.exists():
        return None
    if not _COPY.exists() and not _copied(source):
        return None
    with np.load(_COPY) as arrays:
        titles = arrays["item_texts"]
        goods = ~np.isin(titles, NO_GOODS)[arrays["item"]]
        kept = goods & (arrays["event_type_texts"][arrays["event_type"]] == "purchase")
        users, items, countries, times = (
            arrays[name][kept].astype(np.int64) for name in ("user_id", "item", "country", "timestamp")
        )
    return Sales(users, items, countries, times, tuple(titles.tolist()))


def _copied(source: Path) -> bool:
    python = environment(READER)
    if python is None:
        return False
    _COPY.parent.mkdir(parents=True, exist_ok=True)
    command = [python, SCRIPTS / f"{READER.name}.py", source, _COPY, *COLUMNS]
    return subprocess.run(command, check=False).returncode == 0  # noqa: S603  our own script
