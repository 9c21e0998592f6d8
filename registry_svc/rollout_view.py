"""Where a model's rollouts stand, for people: a pure function of the lane, its evidence and its newest decisions."""

from collections.abc import Sequence

from martlet.rollouts import DecisionView, RolloutView
from registry_svc.journal import Decision
from registry_svc.lane import NOBODY, Lane, Phase
from registry_svc.lane_rules import LaneEvidence, limit_reason, most_weight
from registry_svc.policy import EvidencePolicy, LanePolicy
from registry_svc.trial_rules import TrialEvidence


def rollout_view(
    lane: Lane, evidence: LaneEvidence, trial: TrialEvidence, newest: Sequence[tuple[int, Decision]], policy: LanePolicy
) -> RolloutView:
    """The view. `newest`: decisions with their numbers, newest first."""
    rules = policy.evidence or EvidencePolicy()
    return RolloutView(
        model=lane.model,
        epoch=lane.epoch,
        revision=lane.revision,
        head_version=lane.head.version,
        pin_version=lane.pin.version,
        candidate_version=lane.candidate.version,
        weight=policy.weight_of(lane) if lane.head != lane.pin else 0,
        alarms=lane.alarms,
        rewind=lane.rewinding,
        frozen=lane.frozen,
        structural_version=lane.tried.version,
        structural_phase=lane.trial.phase.value if lane.trial is not None else "",
        waiting_version=lane.waiting.version,
        warning=evidence.findings.warning,
        warning_level=rules.warning_level,
        open_gap=evidence.open_gap,
        paths=(*evidence.findings.paths, *(trial.findings.paths if lane.trial is not None else ())),
        awaited=(*_lane_awaits(lane, evidence, policy), *_trial_awaits(lane, trial, policy)),
        decisions=tuple(
            DecisionView(number, one.kind.value, _told(one), one.time_us, one.lane.epoch, one.who, one.caller)
            for number, one in newest
        ),
    )


def _told(decision: Decision) -> str:
    return f"{decision.detail} (by {decision.who})" if decision.who else decision.detail


def _lane_awaits(lane: Lane, evidence: LaneEvidence, policy: LanePolicy) -> list[str]:
    """What the lane's next decisions wait for."""
    rules, findings = policy.evidence, evidence.findings
    if lane.frozen:
        return [f"an operator: {lane.frozen}"]
    if lane.rewinding:
        return [f"the trainer: it goes back to version {lane.head.version} and acknowledges epoch {lane.epoch}"]
    if lane.head == lane.pin:
        return ["a version behind the pin"]
    if rules is None:
        return [f"version {lane.candidate.version}: READY everywhere, and {policy.pin_min_requests} answers"]
    waits = []
    if lane.candidate != NOBODY:
        least = rules.judge.min_labels_after_alarm if lane.alarms else rules.judge.min_labels
        waits.append(
            f"candidate {lane.candidate.version}: its certificate, on at least {least} labels; "
            f"it has {findings.candidate_labels}"
        )
    higher = min((step for step in rules.steps if step > lane.weight), default=0)
    most = most_weight(lane, findings.labels, rules)
    if higher and higher > most:
        waits.append(f"share {higher}: held at {most}: {limit_reason(lane, rules)}")
    elif higher:
        missing = max(rules.labels_per_step - (findings.labels - lane.stepped_at), 0)
        waits.append(f"share {higher}: {missing} more labels with the warning below {rules.warning_level:g}")
    return waits


def _trial_awaits(lane: Lane, trial: TrialEvidence, policy: LanePolicy) -> list[str]:
    if lane.trial is None:
        return []
    rules, labels = policy.trial, trial.findings.labels
    if lane.trial.phase is Phase.SHADOW:
        what = f"its certificate, on at least {rules.shadow_labels} labels; it has {labels}"
    else:
        what = f"{max(rules.labels_per_step - (labels - lane.trial.stepped_at), 0)} more labels"
    return [f"structural version {lane.tried.version}, in {lane.trial.phase.value}: {what}"]
