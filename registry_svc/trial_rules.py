"""The structural road, decided purely: one slot, a queue of depth one, shadow, canary steps, promotion.

An arrival never restarts what is under way; the newest arrival waits, and takes the place of an older one that waited.
"""

from dataclasses import dataclass, replace

from martlet.versions import CatalogState, VersionRecord
from registry_svc.evidence.structural_judge import StructuralFindings
from registry_svc.journal import Decision, DecisionKind, Move
from registry_svc.lane import NOBODY, Lane, Member, Phase, Trial, next_trial
from registry_svc.policy import TrialPolicy
from registry_svc.rollout import Health


@dataclass(frozen=True, slots=True)
class TrialEvidence:
    """What is known of a structural version's quality; `batches`: how many batches of evidence this rests on."""

    findings: StructuralFindings
    batches: int = 0


def enter(lane: Lane, record: VersionRecord, now_us: int) -> Decision:
    """A structural version comes into the slot, or waits for it."""
    version = Member(record.version, record.digest)
    added = replace(record, state=CatalogState.ADMITTED, manifest=b"")
    moves: tuple[Move, ...] = ()
    if lane.trial is None:
        after, what = replace(lane, trial=Trial(version)), "is in shadow"
    else:
        after, what = replace(lane, waiting=version), f"waits behind {lane.tried.version}"
        if lane.waiting != NOBODY:
            reason = f"version {version.version} is newer"
            moves = (Move(lane.waiting.version, CatalogState.RETIRED, f"skipped: {reason}"),)
    after = replace(after, revision=lane.revision + 1)
    return Decision(DecisionKind.TRIAL, f"structural version {version.version} {what}", now_us, after, added, moves)


def tend_trial(lane: Lane, health: Health, evidence: TrialEvidence, now_us: int, rules: TrialPolicy) -> Decision | None:
    """The next decision about the structural version under way, or None. No data holds."""
    trial = lane.trial
    if trial is None:
        return None
    findings = evidence.findings
    decision: Decision | None = None
    if findings.guard or findings.worse:
        why = findings.guard or findings.worse
        decision = leave(lane, CatalogState.ROLLED_BACK, f"in {trial.phase.value}: {why}", now_us)
    elif health.errors:
        decision = leave(lane, CatalogState.ROLLED_BACK, f"in {trial.phase.value}: {health.errors} errors", now_us)
    elif findings.labels >= rules.give_up_labels:
        decision = leave(lane, CatalogState.RETIRED, f"inconclusive after {findings.labels} labels", now_us)
    elif findings.certified and findings.labels >= rules.shadow_labels:
        decision = _onward(lane, trial, findings.labels, now_us, rules)
    return None if decision is None else replace(decision, evidence=findings.paths, batches=evidence.batches)


def promote(lane: Lane, why: str, now_us: int) -> Decision:
    """The structural version becomes pin and head, in an epoch of its own; what was there retires."""
    member = lane.tried
    after = next_trial(Lane(lane.model, lane.epoch + 1, 1, head=member, pin=member, waiting=lane.waiting))
    old = {version.version for version in (lane.head, lane.pin, lane.candidate)} - {NOBODY.version}
    moves = {version: Move(version, CatalogState.RETIRED) for version in old}
    moves[member.version] = Move(member.version, CatalogState.PINNED)
    detail = f"structural version {member.version} becomes the pin: {why}"
    return Decision(
        DecisionKind.PROMOTED, detail, now_us, after, None, tuple(moves[version] for version in sorted(moves))
    )


def leave(lane: Lane, state: CatalogState, why: str, now_us: int) -> Decision:
    """The structural version leaves the slot; what waits comes in."""
    after = replace(next_trial(lane), revision=lane.revision + 1)
    detail = f"structural version {lane.tried.version} leaves: {why}"
    return Decision(DecisionKind.TRIAL, detail, now_us, after, None, (Move(lane.tried.version, state, why),))


def _onward(lane: Lane, trial: Trial, labels: int, now_us: int, rules: TrialPolicy) -> Decision | None:
    """The next share, or promotion after the last one."""
    if trial.phase is Phase.CANARY and labels - trial.stepped_at < rules.labels_per_step:
        return None
    weight = min((step for step in rules.steps if step > trial.weight), default=0)
    if not weight:
        return promote(lane, f"certified on {labels} labels", now_us)
    step = Trial(trial.member, Phase.CANARY, weight, labels)
    after = replace(lane, revision=lane.revision + 1, trial=step)
    detail = f"structural version {trial.member.version} answers {weight} of 10,000 buckets, before {trial.weight}"
    return Decision(DecisionKind.TRIAL, detail, now_us, after)
