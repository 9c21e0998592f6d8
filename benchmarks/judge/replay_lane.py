"""One replay: a stream is answered, judged and learned as the services do it, by the registry's own rules."""

import copy
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.judge.replay_faults import HEALTHY, Fault
from benchmarks.judge.replay_learner import Floats, Learner, Version
from benchmarks.judge.replay_streams import Flags, Ids, Stream
from martlet.events import Arm
from martlet.evidence import EvidenceBatch, EvidenceRow
from martlet.versions import CatalogState, VersionRecord
from registry_svc.evidence.lane_judge import LaneJudgePolicy
from registry_svc.journal import Decision, DecisionKind
from registry_svc.lane import Lane
from registry_svc.lane_rules import acknowledge, tend_by_evidence
from registry_svc.model_judge import ModelJudge
from registry_svc.policy import EvidencePolicy, LanePolicy
from registry_svc.rollout import Health, admit
from serving_svc.traffic_split import bucket_of

TICK = 50
"""Events that are answered, judged and learned at once."""

VERSION_LABELS = 400
LATE = (50, 500)
JUDGED = LanePolicy(0, 0.0, 0, EvidencePolicy())
UNJUDGED = LanePolicy(0, 0.0, 0, EvidencePolicy(judge=LaneJudgePolicy(margin=100.0, excess_cap=1e9, logit_cap=1e9)))
"""Whatever the head does is within this margin."""

LOADED = Health(replicas=1, ready=1, ready_seconds=1e9)


@dataclass(slots=True)
class Answers:
    """What every event was answered, by event: float64 logits of who served, head and pin; was the head a bad one?"""

    served: Floats
    head: Floats
    pin: Floats
    live: Flags
    bad: Flags

    @classmethod
    def of(cls, events: int) -> "Answers":
        """Empty ones."""
        served, head, pin = np.zeros((3, events))
        live, bad = np.zeros((2, events), dtype=bool)
        return cls(served, head, pin, live, bad)


@dataclass(frozen=True, slots=True)
class Moved:
    """An alarm, or a move of the pin, after so many labels and events. `bad`: the pin has the fault in it."""

    kind: DecisionKind
    labels: int
    events: int
    bad: bool


@dataclass(slots=True)
class Replay:
    """A replay that can be gone on with, and copied where it stands.

    Attributes:
        order: int64[n], events in the order in which their labels arrive; `arrivals` the times, in events.
        learned, judged: int64[n], labels by event as training and the judge see them.
        begin: the label at which the fault begins.
    """

    stream: Stream
    order: Ids
    arrivals: Ids
    learned: Ids
    judged: Ids
    learner: Learner
    answers: Answers
    judge: ModelJudge
    policy: LanePolicy = JUDGED
    fault: Fault = HEALTHY
    begin: int = 0
    before: Floats = field(default_factory=lambda: np.zeros(0))
    lane: Lane = field(default_factory=lambda: Lane("replay"))
    versions: dict[int, Version] = field(default_factory=dict)
    newest: int = 0
    events: int = 0
    labels: int = 0
    moved: list[Moved] = field(default_factory=list)
    rows: dict[int, EvidenceRow] = field(default_factory=dict)
    """Answers whose labels have not arrived, by event."""

    @classmethod
    def of(cls, stream: Stream, seed: int, events: int, policy: LanePolicy = JUDGED) -> "Replay":
        """A fresh one, of the stream's first events. Version 1 is the newborn learner."""
        late = np.arange(events) + np.random.default_rng(seed).integers(*LATE, size=events, endpoint=True)
        order = np.argsort(late, kind="stable")
        labels = stream.labels[:events]
        replay = cls(
            stream, order, late[order], labels.copy(), labels.copy(), Learner.of(len(stream.half), seed),
            Answers.of(events), ModelJudge(policy), policy,
        )  # fmt: skip
        replay._publish()
        return replay

    def planted(self, fault: Fault, seed: int) -> "Replay":
        """A copy in which the fault begins with the next label. The stream is shared."""
        other = copy.deepcopy(self, {id(self.stream): self.stream})
        other.fault, other.begin, other.before = fault, self.labels, self.learner.table.copy()
        touched = other.order[self.labels : self.labels + fault.labels]
        rng = np.random.default_rng(seed)
        flips = fault.flips(other.learned[touched], self.stream.segment[touched], rng)
        other.learned[touched] ^= flips
        if fault.upstream:
            other.judged[touched] ^= flips
            other.rows = {event: replace(row, label=float(other.judged[event])) for event, row in other.rows.items()}
        return other

    def run(self, labels: int) -> "Replay":
        """Goes on until so many labels have been judged, or the stream ends."""
        while self.labels < labels and self.events < len(self.order):
            self._answer()
            arrived = self.order[self.labels : int(np.searchsorted(self.arrivals, self.events))]
            self._judge(arrived)
            self._learn(arrived)
            self.labels += len(arrived)
        return self

    def _answer(self) -> None:
        """Head, pin and candidate score the next events; their scores are recorded now, before anything is learned."""
        lane, first = self.lane, self.events
        span = slice(first, min(first + TICK, len(self.order)))
        rows, swapped = self.stream.rows[span], self.stream.swapped[span]
        members = {member.version for member in (lane.head, lane.pin, lane.candidate)} - {0}
        scores = {version: self.versions[version].scores(rows, swapped) for version in members}
        users = self.stream.users[span].tolist()
        live = np.array([bucket_of(lane.salt, str(user)) < lane.weight for user in users])
        head, pin = scores[lane.head.version], scores[lane.pin.version]
        answers = self.answers
        answers.head[span], answers.pin[span], answers.live[span] = head, pin, live
        answers.served[span] = np.where(live, head, pin)
        answers.bad[span] = live & self.versions[lane.head.version].bad
        for place, user in enumerate(users):
            logits = {version: float(values[place]) for version, values in scores.items()}
            self.rows[first + place] = self._row(first + place, user, live=bool(live[place]), logits=logits)
        self.events = span.stop

    def _row(self, event: int, user: int, *, live: bool, logits: dict[int, float]) -> EvidenceRow:
        lane = self.lane
        head = 0 if lane.head == lane.pin else lane.head.version
        arm, version = (Arm.LIVE, lane.head.version) if live else (Arm.PIN, lane.pin.version)
        label = float(self.judged[event])
        return EvidenceRow(user, event * 1_000_000, lane.epoch, arm, lane.weight, version, head, label, logits)

    def _judge(self, arrived: Ids) -> None:
        rows = tuple(self.rows.pop(event) for event in arrived.tolist())
        batch = EvidenceBatch("replay", self.events, self.lane.model, rows, self._open_gap(), self.events * 1_000_000)
        self.judge.fold(batch, self.lane)
        judged = self.labels + len(rows)
        while decision := self._decision():
            self._carry_out(decision, judged)
            self.judge.look_at(self.lane)

    def _open_gap(self) -> float:
        places = np.fromiter(self.rows, dtype=np.int64, count=len(self.rows))
        gaps = np.abs(self.answers.head[places] - self.answers.pin[places])
        return float(gaps[self.answers.live[places]].sum())

    def _decision(self) -> Decision | None:
        lane = self.lane
        suspects = range(lane.pin.version + 1, lane.head.version)
        return tend_by_evidence(
            lane, LOADED, self.judge.lane_evidence(), suspects, self.events * 1_000_000, self.policy
        )

    def _carry_out(self, decision: Decision, judged: int) -> None:
        self.lane = decision.lane
        pin = self.versions[self.lane.pin.version]
        if decision.kind in {DecisionKind.ALARM, DecisionKind.PIN}:
            self.moved.append(Moved(decision.kind, judged, self.events, pin.bad))
        if decision.kind is DecisionKind.ALARM:
            self.learner.rewind(pin)
            done = acknowledge(self.lane, self.lane.epoch, self.lane.head.digest, decision.time_us)
            self.lane = done.lane if done else self.lane

    def _learn(self, arrived: Ids) -> None:
        faulty = self.begin <= self.labels < self.begin + self.fault.labels
        swapped = faulty and self.fault.swapped
        self.learner.learn((self.stream.swapped if swapped else self.stream.rows)[arrived], self.learned[arrived])
        sabotaged = swapped or bool((self.learned[arrived] != self.stream.labels[arrived]).any())
        self.learner.poisoned = self.learner.poisoned or sabotaged
        if self.learner.since >= VERSION_LABELS and not self.lane.frozen:
            self._publish(faulty=faulty)

    def _publish(self, *, faulty: bool = False) -> None:
        """The learner as it stands becomes the head."""
        self.newest += 1
        version, lane = self.learner.version(), self.lane
        self.versions[self.newest] = self.fault.exported(version, self.stream.half, self.before) if faulty else version
        record = VersionRecord(
            lane.model, self.newest, str(self.newest), lane.head.digest, lane.epoch, CatalogState.ADMITTED, "", "full",
            self.events * 1_000_000,
        )  # fmt: skip
        self.lane = admit(lane, record, self.events * 1_000_000).lane
        kept = {member.version for member in (self.lane.head, self.lane.pin, self.lane.candidate)}
        self.versions = {number: self.versions[number] for number in kept - {0}}
