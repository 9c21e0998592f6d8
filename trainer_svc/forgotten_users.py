"""Users who were forgotten and whose events may still stand in the log: what is read of them is passed over."""

from collections.abc import Iterable, Iterator, Mapping

from martlet.feature_encoding import ItemId
from trainer_svc.journal import Forgot


class ForgottenUsers:
    """By the journal's entries that forgot them, until the log holds nothing of them. Not thread-safe."""

    def __init__(self) -> None:
        self._words: dict[int, Forgot] = {}

    def __iter__(self) -> Iterator[Forgot]:
        """The entries, in the order in which they were added."""
        return iter(self._words.values())

    def __len__(self) -> int:
        """So many."""
        return len(self._words)

    def add(self, entry: Forgot) -> None:
        """A user is forgotten."""
        self._words[entry.start] = entry

    def erased(self, start: int) -> None:
        """The log holds nothing any more of whom the entry that starts there forgot."""
        self._words.pop(start, None)

    def passed_over(self) -> Mapping[ItemId, Mapping[str, int]]:
        """User → partition → position: what stands before it is not learned."""
        users: dict[ItemId, dict[str, int]] = {}
        for word in self._words.values():
            known = users.setdefault(word.user_id, {})
            known |= {name: max(end, known.get(name, 0)) for name, end in word.until.items()}
        return users

    def oldest(self) -> Forgot:
        """Who was forgotten first; there must be one."""
        return self._words[min(self._words)]

    def state(self) -> list[Forgot]:
        """The entries by their start."""
        return [self._words[start] for start in sorted(self._words)]

    def restore(self, state: Iterable[Forgot]) -> None:
        """Takes a state over."""
        self._words = {word.start: word for word in state}
