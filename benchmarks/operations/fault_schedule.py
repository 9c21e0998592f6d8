"""Which faults come when: a value, made from a seed. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Final


class Kind(StrEnum):
    """What can go wrong. The words are those of the report."""

    KILLED = "killed"
    HUNG = "hung"
    AWAY = "away"
    CORRUPT = "bytes flipped on the way"
    REFUSING = "answers 500"
    TRUNCATED = "answers cut short"
    SLOW = "slow network"
    PARTITIONED = "partitioned"
    DISK_FULL = "disk full"
    CLOCK = "clock jumps"
    LANE_CLOSED = "lane closed by an operator"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        at_s: seconds from the beginning of the run.
        target: the process or part it befalls; of a network fault, whose connections.
        lasts_s: seconds until it is taken away; a killed process is started again then.
        amount: of a slow network: seconds for each 64 KiB and direction; of a clock: seconds that it jumps.
    """

    number: int
    at_s: float
    kind: Kind
    target: str
    lasts_s: float
    amount: float = 0.0

    @property
    def ends_s(self) -> float:
        """When it is taken away."""
        return self.at_s + self.lasts_s


@dataclass(frozen=True, slots=True)
class Possible:
    """A fault that may be drawn: how long it lasts and how strong it is, at least and at most."""

    kind: Kind
    target: str
    lasts: tuple[float, float]
    amounts: tuple[float, ...] = (0.0,)
    weight: float = 1.0


RECOVERY_S: Final = 12.0  # a replica that was troubled is given so long before another one may be
SERVING: Final = "serving-"
_TRIES: Final = 200

LANE_CLOSED: Final = Possible(Kind.LANE_CLOSED, "", (0.0, 0.0))
EVERY: Final = 7  # so often a lane is closed, in the midst of everything else
_KILL: Final = (0.0, 5.0)
_HANG: Final = (2.0, 8.0)
_AWAY: Final = (3.0, 9.0)
_CUT: Final = (4.0, 10.0)


def possible(
    processes: Sequence[str], parts: Sequence[str], disks: Sequence[str], clocks: Sequence[str]
) -> list[Possible]:
    """What can befall these processes and parts. `registry` as a part means all registries at once."""
    found = [Possible(Kind.KILLED, name, _KILL) for name in processes]
    found += [Possible(Kind.HUNG, name, _HANG) for name in processes]
    found += [Possible(Kind.AWAY, name, _AWAY) for name in parts]
    found += [Possible(Kind.HUNG, name, _HANG) for name in parts if name != "registry"]
    if "store" in parts:
        corrupting = (Kind.CORRUPT, Kind.REFUSING, Kind.TRUNCATED)
        found += [Possible(kind, "store", _CUT, weight=2.0) for kind in corrupting]
    linked = [*processes, *(part for part in parts if part not in processes and part != "registry")]
    found += [Possible(Kind.SLOW, name, _CUT, (0.05, 0.2, 0.5)) for name in linked]
    found += [Possible(Kind.PARTITIONED, name, _CUT) for name in linked]
    found += [Possible(Kind.DISK_FULL, name, _CUT) for name in disks]
    found += [Possible(Kind.CLOCK, name, _CUT, (-90.0, -5.0, 5.0, 90.0)) for name in clocks]
    return [*found, LANE_CLOSED]


def schedule(seed: int, seconds: float, count: int, choices: Sequence[Possible]) -> tuple[Fault, ...]:
    """`count` faults over about `seconds`, in order of time. Each choice comes once before any comes twice, if it fits.

    Faults may overlap, but never are two serving replicas in trouble at once: then nobody could answer, and the law
    would say nothing.
    """
    dice = Random(seed)  # noqa: S311  the same faults each time
    faults: list[Fault] = []
    drawn = _drawn(dice, choices)
    for number in range(count):
        at_s = seconds * (number + dice.uniform(0.0, 0.8)) / count
        choice = LANE_CLOSED if number % EVERY == EVERY // 2 else next(drawn)
        for _ in range(_TRIES):
            fault = _made(dice, number, at_s, choice)
            if not any(_clash(fault, other) for other in faults):
                break
            choice = dice.choices(choices, [one.weight for one in choices])[0]
        else:
            continue
        faults.append(fault)
    return tuple(faults)


def by_kind(faults: Sequence[Fault]) -> Mapping[tuple[Kind, str], int]:
    """How often each kind befalls each target; replicas of one service count as one."""
    counts: dict[tuple[Kind, str], int] = {}
    for fault in faults:
        key = (fault.kind, service_of(fault.target))
        counts[key] = counts.get(key, 0) + 1
    return counts


def service_of(target: str) -> str:
    """`serving` of `serving-1`."""
    name, _, number = target.rpartition("-")
    return name if number.isdecimal() else target


def _drawn(dice: Random, choices: Sequence[Possible]) -> Iterator[Possible]:
    first = list(choices)
    dice.shuffle(first)
    yield from first
    while True:
        yield dice.choices(choices, [one.weight for one in choices])[0]


def _made(dice: Random, number: int, at_s: float, choice: Possible) -> Fault:
    lasts = round(dice.uniform(*choice.lasts), 2)
    return Fault(number, round(at_s, 2), choice.kind, choice.target, lasts, dice.choice(choice.amounts))


def _clash(one: Fault, other: Fault) -> bool:
    """Whether two faults must not be near each other."""
    if one.at_s > other.ends_s + RECOVERY_S or other.at_s > one.ends_s + RECOVERY_S:
        return False
    if one.target == other.target and one.target:
        return one.at_s <= other.ends_s and other.at_s <= one.ends_s
    return one.target.startswith(SERVING) and other.target.startswith(SERVING)
