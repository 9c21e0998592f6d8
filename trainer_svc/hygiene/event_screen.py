"""Events that are sound and yet should teach nothing: a bot's, and the second of two that are one.

Everything is by event time and counts events in the order of the log, so that a restart rules alike. What is decided
here stays decided when learning goes back to a version, as joining does.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import xxhash

from martlet.events import Outcome
from martlet.runtime.learning_config import HygieneConfig

Arrays = dict[str, npt.NDArray[np.generic]]

# Events of one moment reach the log within so much of each other, mostly.
_SLACK_US: Final = 10_000_000


class EventScreen:
    """See the module's docstring. Not thread-safe.

    Users are told apart by `RecordedPrediction.user_key`. A user with more than `bot_events` events in a window is a
    bot from then on, until a whole window passed with no more than that.
    """

    def __init__(self, settings: HygieneConfig) -> None:
        self._limit = settings.bot_events
        self._window_us = int(settings.bot_window_seconds * 1e6)
        self._near_us = settings.near_duplicate_ms * 1000
        self._rates: dict[int, tuple[int, int, int]] = {}  # user: window, events in it, last window as a bot
        self._last_us: dict[int, int] = {}
        self._tidied = 0

    @property
    def counts_events(self) -> bool:
        """Whether bots are looked for."""
        return self._limit > 0

    def is_bot(self, user: int, time_us: int) -> bool:
        """Counts an event of a user; says whether the user is a bot by now."""
        if not self._limit:
            return False
        window = time_us // self._window_us
        last, count, until = self._rates.get(user, (window, 0, -1))
        if window > last:
            last, count = window, 0
        count += 1
        if count > self._limit:
            until = last + 1
        self._rates[user] = (last, count, until)
        return window <= until

    def is_near_duplicate(self, user: int, outcome: Outcome) -> bool:
        """Whether the same user did the same to the same item a moment ago, or a moment later."""
        if not self._near_us:
            return False
        what = f"{user}/{outcome.item_id!r}/{outcome.type}"
        name = xxhash.xxh3_64_intdigest(what.encode())
        last = self._last_us.get(name)
        self._last_us[name] = outcome.time_us if last is None else max(last, outcome.time_us)
        return last is not None and abs(outcome.time_us - last) <= self._near_us

    def advance(self, watermark_us: int) -> None:
        """Event time has come so far: drops what says nothing any more."""
        window = watermark_us // self._window_us
        if window == self._tidied:
            return
        self._tidied = window
        self._rates = {user: rate for user, rate in self._rates.items() if max(rate[0], rate[2]) >= window - 1}
        oldest = watermark_us - self._near_us - _SLACK_US
        self._last_us = {name: last for name, last in self._last_us.items() if last >= oldest}

    def forget(self, user: int) -> None:
        """Drops what is known of a user."""
        self._rates.pop(user, None)

    def state(self) -> Arrays:
        """Rates and last events, in one order for equal content."""
        users, names = sorted(self._rates), sorted(self._last_us)
        return {
            "users": np.array(users, np.uint64),
            "rates": np.array([self._rates[user] for user in users], np.int64).reshape(-1, 3),
            "names": np.array(names, np.uint64),
            "last_us": np.array([self._last_us[name] for name in names], np.int64),
            "tidied": np.array(self._tidied, np.int64),
        }

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over."""
        rates = [(int(window), int(count), int(until)) for window, count, until in state["rates"].tolist()]
        self._rates = dict(zip(state["users"].tolist(), rates, strict=True))
        self._last_us = dict(zip(state["names"].tolist(), state["last_us"].tolist(), strict=True))
        self._tidied = int(np.asarray(state["tidied"], np.int64))
