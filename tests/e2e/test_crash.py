"""Given a trainer that is killed again and again, when it comes to the end, then it learned exactly once."""

from pathlib import Path

import pytest

from benchmarks.figures import Figures
from benchmarks.training.crash import Size, crash


@pytest.mark.timeout(300)
def test_a_trainer_killed_all_the_time_learns_exactly_once(tmp_path: Path) -> None:
    """The short form of the crash harness: a faulty link, a log that grows, an operator who closes lanes."""
    figures = Figures()
    crash(figures, Size(growing=7, fixed=5, events=800), tmp_path)
    missed = {name: entry["value"] for name, entry in figures.entries.items() if entry["met"] is False}
    assert missed == {}
