"""What judging costs, and whether both forms of the code agree."""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from benchmarks.figures import Figures, at_most
from benchmarks.judge.agreement import rows_of, structural_difference, watch_difference
from benchmarks.judge.worlds import equal
from registry_svc.evidence.lane_judge import LaneJudgePolicy
from registry_svc.evidence.structural_judge import StructuralJudge
from registry_svc.evidence.structural_policy import StructuralPolicy
from registry_svc.evidence.structural_state import packed
from registry_svc.evidence.units import Unit

Work = TypeVar("Work")


def agreement(figures: Figures) -> None:
    """The largest difference of log evidence between the vectorised form and the shipped one."""
    figures.add("agreement.structural", structural_difference(4, 400, StructuralPolicy()), "nats", at_most(1e-9))
    figures.add("agreement.watch", watch_difference(4, 3000, LaneJudgePolicy()), "nats", at_most(1e-9))


def cost(figures: Figures, units: int) -> None:
    """Processor time of one unit in one process, of one row in a judge, and memory of a judge that runs."""
    rng = np.random.default_rng(8)
    values = [Unit(float(value), 1.0) for value in 0.05 * rng.standard_normal(units)]
    certificate, watch = StructuralPolicy().promotion(1.0), LaneJudgePolicy().watch()
    figures.add("cost.us_per_unit", min(_time(certificate.update, values) for _ in range(3)), "us", at_most(5.0))
    figures.add("cost.us_per_lane_unit", min(_time(watch.update, values) for _ in range(3)), "us", at_most(5.0))
    rows = rows_of(equal(rng, 1, max(units // 20, 100)), 0)
    judge = StructuralJudge(StructuralPolicy())
    judge.compare(version=2, pin=1, phase="shadow")
    figures.add("cost.us_per_row", _time(lambda row: judge.fold([row]), rows), "us", at_most(50.0))
    crowd = StructuralJudge(StructuralPolicy())
    crowd.compare(version=2, pin=1, phase="shadow")
    for row in rows:
        crowd.fold([row])
    figures.add("cost.kilobytes_per_rollout", len(packed(crowd.state())) / 1e3, "kB", at_most(256.0))


def _time(call: Callable[[Work], object], values: Sequence[Work]) -> float:
    start = time.process_time()
    for value in values:
        call(value)
    return (time.process_time() - start) / len(values) * 1e6
