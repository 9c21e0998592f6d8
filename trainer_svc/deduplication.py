"""Events are delivered at least once; this makes their effect once."""

from itertools import takewhile


class Deduplicator:
    """Remembers event ids for a window of event time. Deterministic in the order of calls; not thread-safe."""

    def __init__(self, window_us: int) -> None:
        self._window_us = window_us
        self._seen: dict[str, int] = {}

    def first(self, event_id: str, time_us: int) -> bool:
        """Whether this id was not seen within the window; remembers it."""
        if event_id in self._seen:
            return False
        self._seen[event_id] = time_us
        return True

    def forget_before(self, watermark_us: int) -> None:
        """Forgets what is older than the window, oldest arrivals first."""
        oldest = watermark_us - self._window_us
        for event_id, _ in list(takewhile(lambda item: item[1] < oldest, self._seen.items())):
            del self._seen[event_id]

    def state(self) -> list[tuple[str, int]]:
        """What is remembered, in order of arrival."""
        return list(self._seen.items())

    def restore(self, state: list[tuple[str, int]]) -> None:
        """Takes a state over."""
        self._seen = dict(state)
