"""Series about the lanes: who stands where, since when, with which share, and how structural versions end."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from martlet.clock import Clock
from martlet.runtime.read_gauge import ReadGauge, Readings
from registry_svc.journal import Decision, Move
from registry_svc.lane import NOBODY, Lane, Member, Phase
from registry_svc.policy import LanePolicy

HEAD, PIN, CANDIDATE = "head", "pin", "candidate"
WAITING: Final = "waiting"
_FIGURES: Final = {
    "epoch": "A model's epoch",
    "revision": "A model's revision in its epoch",
    "lane_weight": "The live lane's share, in buckets of 10,000",
    "lane_alarms": "Alarms since the pin moved last",
    "lane_rewinding": "1 while training has not gone back to the head",
    "lane_frozen": "1 while nothing may be published until an operator says so",
    "trial_version": "The structural version under way; 0: none",
    "trial_weight": "Its share, in buckets of 10,000",
}
_LEVELS: Final = {
    "warning_level": "Log evidence of the warning process at which the share steps back",
    "harm_budget_nats": "Possible harm without labels at which the share steps back",
}


def places_of(lane: Lane) -> dict[str, Member]:
    """Who stands where in the live lane."""
    return {HEAD: lane.head, PIN: lane.pin, CANDIDATE: lane.candidate}


class LaneMetrics:
    """One instance for each CollectorRegistry. Thread-safe."""

    def __init__(self, collectors: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._published: dict[tuple[str, str], int] = {}
        self._lane = Gauge(
            "martlet_registry_lane_version",
            "The version in each place of a lane; 0: none",
            ["model", "place"],
            registry=collectors,
        )
        self._figures = {
            name: Gauge(f"martlet_registry_{name}", text, ["model"], registry=collectors)
            for name, text in (_FIGURES | _LEVELS).items()
        }
        self._phase = Gauge(
            "martlet_registry_trial_phase",
            "1 for the phase of the structural version under way, and if one waits",
            ["model", "phase"],
            registry=collectors,
        )
        self._trials = Counter(
            "martlet_registry_trials",
            "Structural versions that ended, in which phase and how",
            ["model", "phase", "outcome"],
            registry=collectors,
        )
        ReadGauge(
            "martlet_registry_version_age_seconds",
            "Since the version in a place of the lane was published",
            ("model", "place"),
            self._ages,
            collectors,
        )

    def show(self, lane: Lane, policy: LanePolicy, published_us: Mapping[str, int]) -> None:
        """A lane as it stands. `published_us`: place → when its version was published; who stands nowhere is absent."""
        for place, member in places_of(lane).items():
            self._lane.labels(lane.model, place).set(member.version)
        self._published = {key: time for key, time in self._published.items() if key[0] != lane.model} | {
            (lane.model, place): time for place, time in published_us.items()
        }
        figures: dict[str, float] = {
            "epoch": lane.epoch,
            "revision": lane.revision,
            "lane_weight": policy.weight_of(lane),
            "lane_alarms": lane.alarms,
            "lane_rewinding": int(lane.rewinding),
            "lane_frozen": int(bool(lane.frozen)),
            "trial_version": lane.tried.version,
            "trial_weight": lane.trial.weight if lane.trial is not None else 0,
        }
        if policy.evidence is not None:
            figures |= {
                "warning_level": policy.evidence.warning_level,
                "harm_budget_nats": policy.evidence.harm_budget,
            }
        for name, figure in figures.items():
            self._figures[name].labels(lane.model).set(figure)
        for phase in Phase:
            is_in = lane.trial is not None and lane.trial.phase is phase
            self._phase.labels(lane.model, phase.value).set(is_in)
        self._phase.labels(lane.model, WAITING).set(lane.waiting != NOBODY)

    def decided(self, decision: Decision, before: Lane) -> None:
        """Counts structural versions that a decision ends. `before`: the lane that it was taken on."""
        for move in decision.moves:  # a version on the structural road moves when it leaves it, and only then
            phase = _phase_of(move, before)
            if phase:
                self._trials.labels(before.model, phase, outcome_of(move)).inc()

    def _ages(self) -> Readings:
        now_us = self._clock.now_us()
        return {key: max(0.0, (now_us - time) / 1e6) for key, time in self._published.items()}


def outcome_of(move: Move) -> str:
    """How a structural version ended, by the state it came into."""
    name = move.state.name.lower()
    return "promoted" if name == "pinned" else name


def _phase_of(move: Move, lane: Lane) -> str:
    """In which phase of the structural road a version stood; "": it was not on it."""
    if lane.trial is not None and move.version == lane.tried.version:
        return lane.trial.phase.value
    return WAITING if move.version == lane.waiting.version else ""
