"""The live lane under evidence, decided purely: alarm, certificate, share. The order is the order of danger."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from martlet.errors import Conflict
from martlet.versions import CatalogState
from registry_svc.evidence.lane_judge import LaneFindings
from registry_svc.journal import Decision, DecisionKind, Move
from registry_svc.lane import NOBODY, Lane, next_trial
from registry_svc.policy import EvidencePolicy, LanePolicy
from registry_svc.rollout import Health, is_loaded, moves, renew_candidate, settled


@dataclass(frozen=True, slots=True)
class LaneEvidence:
    """What is known of a lane's quality.

    Attributes:
        open_gap: possible harm without labels yet, in the findings' unit.
        harm_budget: above so much of it the share steps back.
        head_errors: how often the present head could not answer.
        batches: how many batches of evidence this rests on.
    """

    findings: LaneFindings
    open_gap: float = 0.0
    harm_budget: float = 100.0
    head_errors: int = 0
    batches: int = 0


def tend_by_evidence(
    lane: Lane, health: Health, evidence: LaneEvidence, suspects: Sequence[int], now_us: int, policy: LanePolicy
) -> Decision | None:
    """The next decision about a lane, or None: nothing has happened, or there is no evidence. No data holds.

    `suspects`: the versions behind the pin, which go with the head when it is taken back.
    """
    rules = policy.evidence
    if rules is None or lane.head == lane.pin:
        return None
    findings = evidence.findings
    failing = f"{evidence.head_errors} errors of the head" if evidence.head_errors >= rules.head_errors else ""
    if findings.guard or findings.alarm or failing:
        why = findings.guard or failing or f"worse than the pin: {_path(findings, 'head-pin')}"
        return _with(close(lane, suspects, why, DecisionKind.ALARM, now_us, rules), evidence)
    decision = _candidate(lane, health, evidence, now_us, policy) or _share(lane, evidence, now_us, rules)
    return None if decision is None else _with(decision, evidence)


def close(
    lane: Lane, suspects: Sequence[int], why: str, kind: DecisionKind, now_us: int, rules: EvidencePolicy
) -> Decision:
    """Takes everything behind the pin back: a new epoch in which the pin answers alone and training must rewind."""
    alarms = lane.alarms + 1
    frozen = f"{alarms} alarms before the pin moved; the last one: {why}" if alarms >= rules.freeze_after_alarms else ""
    kept = without(lane, suspects)
    after = Lane(
        lane.model,
        lane.epoch + 1,
        1,
        head=lane.pin,
        pin=lane.pin,
        alarms=alarms,
        rewinding=True,
        frozen=lane.frozen or frozen,
        trial=kept.trial,
        waiting=kept.waiting,
    )
    reason = f"descends from what was taken back with {lane.head.version}: {why}"
    gone = {version: Move(version, CatalogState.QUARANTINED, reason) for version in suspects}
    gone[lane.head.version] = Move(lane.head.version, CatalogState.ROLLED_BACK, why)
    detail = f"versions {lane.pin.version + 1} to {lane.head.version} are taken back: {why}"
    return Decision(kind, detail, now_us, after, None, tuple(gone[version] for version in sorted(gone)))


def without(lane: Lane, versions: Collection[int]) -> Lane:
    """The lane's structural road without these versions."""
    kept = replace(lane, waiting=NOBODY) if lane.waiting.version in versions else lane
    return next_trial(kept) if lane.tried.version in versions else kept


def acknowledge(lane: Lane, epoch: int, digest: str, now_us: int) -> Decision | None:
    """Training stands where the head was made. None: that was known.

    Raises:
        Conflict: another epoch, or another version.
    """
    if (epoch, digest) != (lane.epoch, lane.head.digest):
        raise Conflict(f"epoch {lane.epoch} begins with {lane.head.digest or 'nothing'}, not {epoch} with {digest}")
    if not lane.rewinding:
        return None
    after = replace(lane, revision=lane.revision + 1, rewinding=False)
    return Decision(DecisionKind.REWOUND, f"training stands at version {lane.head.version}", now_us, after)


def _candidate(lane: Lane, health: Health, evidence: LaneEvidence, now_us: int, policy: LanePolicy) -> Decision | None:
    findings, candidate = evidence.findings, lane.candidate
    if candidate == NOBODY:
        return None
    if health.errors:
        return renew_candidate(lane, f"{health.errors} errors", now_us)
    if findings.certified and is_loaded(health, policy):
        pinned = replace(
            lane, revision=lane.revision + 1, pin=candidate, candidate=NOBODY, alarms=0, pinned_at=findings.labels
        )
        after = settled(pinned, now_us)
        detail = f"version {candidate.version} is not worse than {lane.pin.version}: {_path(findings, 'candidate-pin')}"
        return Decision(DecisionKind.PIN, detail, now_us, after, None, moves(lane, after))
    if findings.undecided:
        return renew_candidate(lane, f"undecided after {findings.candidate_labels} labels", now_us)
    return None


def _share(lane: Lane, evidence: LaneEvidence, now_us: int, rules: EvidencePolicy) -> Decision | None:
    """One step up, one step down, or None."""
    findings = evidence.findings
    since, most = findings.labels - lane.stepped_at, most_weight(lane, findings.labels, rules)
    lower = max((step for step in rules.steps if step < lane.weight), default=0)
    higher = min((step for step in rules.steps if step > lane.weight), default=lane.weight)
    if lane.weight > most:
        return _stepped(lane, most, f"at most {most} buckets: {limit_reason(lane, rules)}", findings, now_us)
    if lane.weight and evidence.open_gap > evidence.harm_budget:
        why = f"possible harm of {evidence.open_gap:.3g} {findings.unit} without labels"
        return _stepped(lane, lower, why, findings, now_us)
    if lane.weight and findings.warning >= rules.warning_level:
        # Right after a step the warning still speaks of the share before it.
        patient = since < rules.labels_per_step // 5
        why = f"warning at {findings.warning:.1f}"
        return None if patient else _stepped(lane, lower, why, findings, now_us)
    calm = findings.warning < rules.warning_level and evidence.open_gap <= evidence.harm_budget
    if calm and since >= rules.labels_per_step and lane.weight < higher <= most:
        return _stepped(lane, higher, f"{since} labels without a warning", findings, now_us)
    return None


def most_weight(lane: Lane, labels: int, rules: EvidencePolicy) -> int:
    """The largest share that the lane may have now."""
    if lane.frozen or lane.alarms >= rules.shadow_after_alarms:
        return 0
    if labels - lane.pinned_at > rules.pin_lag_labels:
        return min((step for step in rules.steps if step > 0), default=0)
    return max(rules.steps)


def limit_reason(lane: Lane, rules: EvidencePolicy) -> str:
    """Why the share is limited."""
    if lane.frozen:
        return "frozen"
    if lane.alarms >= rules.shadow_after_alarms:
        return f"{lane.alarms} alarms before the pin moved"
    return f"the pin has not moved for {rules.pin_lag_labels} labels"


def _stepped(lane: Lane, weight: int, why: str, findings: LaneFindings, now_us: int) -> Decision:
    after = replace(lane, revision=lane.revision + 1, weight=weight, stepped_at=findings.labels)
    detail = f"the live lane answers {weight} of 10,000 buckets, before {lane.weight}: {why}"
    return Decision(DecisionKind.SHARE, detail, now_us, after)


def _with(decision: Decision, evidence: LaneEvidence) -> Decision:
    return replace(decision, evidence=evidence.findings.paths, batches=evidence.batches)


def _path(findings: LaneFindings, name: str) -> str:
    for path in findings.paths:
        if path.name == name:
            return (
                f"{path.mean:+.4f} {findings.unit} over {path.labels} labels, log evidence {path.log_evidence:.1f} "
                f"of {path.bound:.1f}"
            )
    return "no path"
