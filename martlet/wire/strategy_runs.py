"""Runs of update strategies: messages to values and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from martlet.v1 import events_pb2, trainer_pb2


class RunState(IntEnum):
    """How far a run has come. The numbers are the wire's."""

    ASKED = 1
    LEARNING = 2
    OFFERED = 3
    LIVE = 4
    FAILED = 5


@dataclass(frozen=True, slots=True)
class StrategyRun:
    """One run beside the live learner.

    Attributes:
        name: of its folder, such as `full_retrain-3`.
        reason: why this strategy.
        asked_time_us: microseconds since 1970-01-01 UTC.
        until: partition → position up to which it learns; the live learner goes on from there.
        version, digest: what came of it, if anything did.
        examples: learned by the run, in `cpu_seconds` of processors.
        report: what was taken over from where.
        caller: whose token or certificate it was asked for with, as verified; "" where nobody is asked.
    """

    name: str
    strategy: str
    reason: str
    who: str
    state: RunState
    asked_time_us: int
    until: Mapping[str, int]
    version: int = 0
    digest: str = ""
    examples: int = 0
    cpu_seconds: float = 0.0
    error: str = ""
    report: Sequence[str] = ()
    caller: str = ""


def run_message(run: StrategyRun) -> trainer_pb2.StrategyRun:
    """A run as a message."""
    return trainer_pb2.StrategyRun(
        name=run.name,
        strategy=run.strategy,
        reason=run.reason,
        who=run.who,
        state=trainer_pb2.RunState.ValueType(run.state.value),
        asked_time_us=run.asked_time_us,
        until=[events_pb2.LogPosition(partition=name, offset=end) for name, end in sorted(run.until.items())],
        version=run.version,
        digest=run.digest,
        examples=run.examples,
        cpu_seconds=run.cpu_seconds,
        error=run.error,
        report=run.report,
        caller=run.caller,
    )


def run_of(message: trainer_pb2.StrategyRun) -> StrategyRun:
    """A run from a message."""
    return StrategyRun(
        name=message.name,
        strategy=message.strategy,
        reason=message.reason,
        who=message.who,
        state=RunState(message.state),
        asked_time_us=message.asked_time_us,
        until={position.partition: position.offset for position in message.until},
        version=message.version,
        digest=message.digest,
        examples=message.examples,
        cpu_seconds=message.cpu_seconds,
        error=message.error,
        report=tuple(message.report),
        caller=message.caller,
    )
