"""A run judged by the laws, and told: as figures, as a report in JSON, as a table of faults."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.operations import fault_laws as laws
from benchmarks.operations.fault_effects import reason
from benchmarks.operations.fault_laws import Broken
from benchmarks.operations.fault_run import Run
from benchmarks.operations.fault_schedule import Fault, service_of
from benchmarks.operations.fault_stage import LEASE_S, Stage

WARM_UP_S: Final = 60.0
FENCE_S: Final = LEASE_S + 1.0  # a lease, and what a request may wait before its version is chosen
AFTER_S: Final = 3.0  # a fault's effect is looked for so long after its end


@dataclass(frozen=True, slots=True)
class Verdict:
    """Figures and violations of one run."""

    injected: int
    requests: int
    unanswered: int
    acknowledged: int
    lost: Broken
    doubled: Broken
    unknown: Broken
    quarantined: Broken
    taken_back: int
    converged_s: float
    waiting: str
    state_equal: bool
    growth: float
    unasked_ends: int

    @property
    def holds(self) -> bool:
        """Whether every law does."""
        broken = self.lost.count + self.doubled.count + self.unknown.count + self.quarantined.count
        return not broken and self.state_equal and math.isfinite(self.converged_s)

    def told(self, form: str) -> str:
        """In lines."""
        named = {"lost": self.lost, "doubled": self.doubled, "unknown": self.unknown, "quarantined": self.quarantined}
        lines = [f"{form}: {self.injected} faults, {self.requests} requests, {self.unanswered} unanswered"]
        lines += [f"  {name}: {broken.count} {list(broken.examples)}" for name, broken in named.items() if broken.count]
        lines += [f"  converged after {self.converged_s:.1f} s {self.waiting}, state equal: {self.state_equal}"]
        return "\n".join(lines)


def judge(run: Run, stage: Stage) -> Verdict:
    """All laws."""
    found = run.account
    if found is None:
        raise RuntimeError("the run did not come to its end")
    gone_s = {
        version: run.done.closed[fault.number]
        for fault in run.faults
        if fault.number in run.done.closed
        for text, versions in found.closed.items()
        if text.endswith(reason(fault))
        for version in versions
    }
    asked = run.ledger.asked
    growths = [
        life.growth_mb_per_min(WARM_UP_S)
        for service in stage.services.values()
        for life in service.lives
        if life.samples
    ]
    return Verdict(
        injected=len(run.faults) - len(run.done.failed),
        requests=len(asked),
        unanswered=sum(bool(one.error) for one in asked),
        acknowledged=len(run.ledger.acknowledged),
        lost=laws.lost(run.ledger.acknowledged, found.fates),
        doubled=laws.doubled(found.fates),
        unknown=laws.unknown_answers(asked, found.catalog),
        quarantined=laws.served_after_fence(found.logged.served, found.gone)
        + laws.served_too_late(asked, gone_s, FENCE_S),
        taken_back=len(found.gone),
        converged_s=run.converged_s,
        waiting=run.waiting,
        state_equal=found.state_equal,
        growth=max((one for one in growths if math.isfinite(one)), default=0.0),
        unasked_ends=sum(len(service.ended) for service in stage.services.values()),
    )


def effect(run: Run, fault: Fault) -> dict[str, Any]:
    """What clients saw of one fault."""
    begun = run.done.begun_s.get(fault.number, fault.at_s)
    ended = run.done.ended_s.get(fault.number, fault.ends_s) + AFTER_S
    asked = run.ledger.during(begun, ended)
    told = [one for one in run.ledger.told if begun <= one.sent_s < ended]
    errors = {one.error for one in asked} | {one.error for one in told}
    return {
        "requests": len(asked),
        "unanswered": sum(bool(one.error) for one in asked),
        "slowest_ms": round(max((one.took_s for one in asked), default=0.0) * 1e3, 1),
        "events_unacknowledged": sum(bool(one.error) for one in told),
        "errors": sorted(errors - {""})[:5],
    }


def as_json(run: Run, stage: Stage, verdict: Verdict) -> dict[str, Any]:
    """Everything worth keeping: the schedule, each fault's effect, the verdict, unasked ends, memory."""
    return {
        "seconds": run.seconds,
        "verdict": asdict(verdict),
        "faults": [
            {**asdict(fault), "effect": effect(run, fault), "failed": run.done.failed.get(fault.number, "")}
            for fault in run.faults
        ],
        "by_kind": list(table(run)),
        "positions": {name: list(at) for name, at in run.positions.items()},
        "exits": dict(run.exits),
        "unasked_ends": {name: [asdict(one) for one in service.ended] for name, service in stage.services.items()},
        "memory": {name: _memory(service.lives) for name, service in stage.services.items()},
        "audit": dict(run.account.audit) if run.account is not None else {},
        "rewinds": run.account.rewinds if run.account is not None else 0,
    }


def verdict_of(report: Mapping[str, Any]) -> Verdict:
    """The verdict of a report."""
    told = dict(report["verdict"])
    for name in ("lost", "doubled", "unknown", "quarantined"):
        told[name] = Broken(told[name]["count"], tuple(told[name]["examples"]))
    return Verdict(**told)


def table(run: Run) -> list[Mapping[str, Any]]:
    """By kind and service: how many, and the worst that clients saw of any."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for fault in run.faults:
        seen = effect(run, fault)
        key = (fault.kind.value, service_of(fault.target))
        row = rows.setdefault(key, {"kind": key[0], "target": key[1], "count": 0, "unanswered": 0, "slowest_ms": 0.0,
                                    "events_unacknowledged": 0})  # fmt: skip
        row["count"] += 1
        for name in ("unanswered", "slowest_ms", "events_unacknowledged"):
            row[name] = max(row[name], seen[name])
    return [rows[key] for key in sorted(rows)]


def _memory(lives: list[laws.Memory]) -> dict[str, Any]:
    peaks = [max(mb for _, mb in life.samples) for life in lives if life.samples]
    growths = [life.growth_mb_per_min(WARM_UP_S) for life in lives if life.samples]
    return {
        "lives": len(lives),
        "peak_mb": round(max(peaks, default=0.0), 1),
        "growth_mb_per_min": [round(one, 2) for one in growths if math.isfinite(one)],
    }
