"""What a run leaves behind can be read again, and told."""

import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import Figures
from benchmarks.operations.fault_laws import Broken
from benchmarks.operations.fault_report import Verdict, verdict_of
from benchmarks.operations.faults import add_figures
from benchmarks.operations.report import render

SOUND = Verdict(
    injected=8, requests=1000, unanswered=0, acknowledged=700, lost=Broken(), doubled=Broken(), unknown=Broken(),
    quarantined=Broken(), taken_back=3, converged_s=4.0, waiting="", state_equal=True, growth=1.5, unasked_ends=0,
)  # fmt: skip
BROKEN = Verdict(
    **{**{name: getattr(SOUND, name) for name in SOUND.__slots__}, "lost": Broken(2, ("e-1 is not in the log",))}
)
REPORT = {
    "seconds": 60.0,
    "faults": [{}] * 8,
    "by_kind": [{"kind": "killed", "target": "serving", "count": 8, "unanswered": 0, "slowest_ms": 12.3,
                 "events_unacknowledged": 1}],
    "memory": {"trainer": {"lives": 2, "peak_mb": 400.0, "growth_mb_per_min": [1.5]}},
}  # fmt: skip


def test_a_verdict_is_read_again_as_it_was() -> None:
    for verdict in (SOUND, BROKEN):
        assert verdict_of(json.loads(json.dumps({"verdict": asdict(verdict)}))) == verdict
    assert SOUND.holds
    assert not BROKEN.holds
    assert "e-1 is not in the log" in BROKEN.told("real")


def test_a_broken_law_is_a_goal_that_is_missed() -> None:
    figures = Figures()
    add_figures(figures, [SOUND, BROKEN])
    assert figures.entries["faults.events_lost"]["met"] is False
    assert figures.entries["faults.events_doubled"]["met"] is True
    assert figures.entries["faults.injected"]["value"] == 16


def test_the_page_tells_goals_faults_and_memory(tmp_path: Path) -> None:
    figures = Figures()
    add_figures(figures, [SOUND])
    (tmp_path / "faults-real.json").write_text(json.dumps(REPORT))
    render(figures.entries, tmp_path, tmp_path / "page.md")
    page = (tmp_path / "page.md").read_text()
    assert "| faults.events_lost | 0 | events | <= 0 | yes |" in page
    assert "| killed | serving | 8 | 0 | 12 | 1 |" in page
    assert "| trainer | 2 | 400.0 | 1.5 |" in page
