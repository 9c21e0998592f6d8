"""Where every outcome went: learned, excluded or dead-lettered. What is none of these yet is pending."""

from collections import Counter
from enum import StrEnum

import msgspec


class Excluded(StrEnum):
    """Why a sound outcome is not learned."""

    OTHER_TYPE = "other type"  # not the label's
    OTHER_MODEL = "other model"  # its prediction was another model's
    LATE = "late"  # after the attribution window
    REPEATED_LABEL = "repeated label"  # the item was positive already
    REWOUND = "rewound"  # learned by versions that were taken back
    REFUSED = "refused"  # learned by a version that was refused
    FORGOTTEN = "forgotten"  # of a user who is forgotten
    SAYS_NOTHING = "says nothing"  # its value is below what the label counts from, or no class
    NOTHING_TO_TAKE_BACK = "nothing to take back"  # the item was not positive (and will not be)
    TAKEN_BACK = "taken back"  # the item's positives do not count any more
    BACKFILLED = "backfilled"  # of a prediction that a history from elsewhere holds
    NEAR_DUPLICATE = "near duplicate"  # the same again within a moment, under another id
    HELD_OUT = "held out"  # kept to measure forgetting with


class DeadReason(StrEnum):
    """Why an event went to the dead letters; a letter's text says more."""

    UNREADABLE = "unreadable"
    SENSELESS = "senseless"
    TOO_OLD = "too old"  # nobody can tell any more whether it is a repetition
    UNKNOWN_PREDICTION = "unknown prediction"
    UNKNOWN_ITEM = "unknown item"
    OTHER_SPEC = "other feature spec"
    BOT = "bot"  # of a user with more events than a person makes


class AccountState(msgspec.Struct):
    """An account's figures."""

    learned: int
    duplicates: int
    excluded: dict[str, int]
    dead_lettered: dict[str, int]


class OutcomeAccount:
    """Counts each outcome once; repetitions apart. Not thread-safe."""

    def __init__(self) -> None:
        self.learned = 0
        self.duplicates = 0
        self.excluded: Counter[str] = Counter()
        self.dead_lettered: Counter[str] = Counter()

    def unlearn(self, learned: int, reason: Excluded) -> None:
        """Learning goes back to where so many were learned: the others are excluded."""
        self.excluded[reason] += self.learned - learned
        self.learned = learned

    def relearn(self, count: int) -> None:
        """So many outcomes that were taken back are learned again."""
        self.excluded[Excluded.REWOUND] -= count
        self.learned += count

    def state(self) -> AccountState:
        """The figures as they stand."""
        return AccountState(self.learned, self.duplicates, dict(self.excluded), dict(self.dead_lettered))

    def restore(self, state: AccountState) -> None:
        """Takes a state over."""
        self.learned, self.duplicates = state.learned, state.duplicates
        self.excluded, self.dead_lettered = Counter(state.excluded), Counter(state.dead_lettered)
