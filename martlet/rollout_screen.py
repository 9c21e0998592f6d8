"""A model's rollouts on a terminal: what is wrong first, then who answers, the evidence, what is awaited, decisions.

Pure: a `RolloutScreen` and the time go in, something to print comes out. Whatever is coloured is also said.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from math import isfinite, log
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from martlet.rollout_views import RolloutScreen, standings
from martlet.rollouts import DecisionView, EvidencePath, RolloutView
from martlet.tables import age, bar, share_text, table

WIDE: Final = 100  # columns from which bars are long
ALL_BUCKETS: Final = 10_000
WHO_WIDTH: Final = 14
SHOWN_EVIDENCE: Final = 0.05  # what is written as 0.0 has no bar
LOUD: Final = "bold white on red"
SPOKEN: Final = re.compile(r"(?P<what>.*) \(by (?P<who>.*)\)", re.DOTALL)
DECISION_STYLES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("alarm", "aborted", "pinned", "failed"), "bold red"),
    **dict.fromkeys(("pin", "promoted"), "bold green"),
    **dict.fromkeys(("rewound", "thawed"), "green"),
    "refused": "yellow",
}


@dataclass(frozen=True, slots=True)
class Question:
    """What a process of the judge asks.

    Attributes:
        compared: who is compared, with the two versions' numbers put in.
        at_bound: what follows when its log evidence reaches the bound.
        harm: whether that is bad news.
        unit: the mean's, if it is not nats.
    """

    compared: str
    at_bound: str
    harm: bool
    unit: str = ""


QUESTIONS: Final[Mapping[str, Question]] = {
    "head-pin": Question("head {} vs pin {}", "alarm", harm=True),
    "head-candidate": Question("head {} vs candidate {}", "alarm if pin", harm=True),
    "candidate-pin": Question("candidate {} vs pin {}", "new pin", harm=False),
    "log-loss worse": Question("structural {} vs pin {}", "roll back", harm=True),
    "log-loss not worse": Question("structural {} vs pin {}", "onward", harm=False),
    "squared error worse": Question("structural {} vs pin {}", "roll back", harm=True, unit=" range²/2"),
    "squared error not worse": Question("structural {} vs pin {}", "onward", harm=False, unit=" range²/2"),
    "calibration worse": Question("structural {} bias", "roll back", harm=True, unit=" p-y"),
}


def rollout_screen(screen: RolloutScreen, width: int, now_us: int, decisions: int) -> RenderableType:
    """All of it for so many columns, with at most so many lines of decisions."""
    view, cells = screen.view, 20 if width >= WIDE else 8
    parts: list[RenderableType] = [_title(view, now_us), *_alerts(view), *_section("Answers", _answers(screen, cells))]
    parts += _section("Evidence", *_evidence(view, cells))
    if view.awaited:
        parts += _section("Waiting for", *(Text(f"- {what}") for what in view.awaited))
    if decisions and view.decisions:
        parts += _section("Newest decisions", _decisions(view.decisions, now_us, decisions))
    return Group(*parts)


def alert(word: str, text: str, style: str = LOUD) -> RenderableType:
    """A line that must not be missed, with or without colours."""
    line = Table.grid(padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column(overflow="fold")
    line.add_row(Text(f" {word} ", style), Text(text, "bold"))
    return line


def condensed(decisions: Sequence[DecisionView], lines: int) -> list[DecisionView]:
    """At most so many; versions that became the head one after another take one line, the newest of them.

    A live model is published every few seconds; its alarms must not drown in that.
    """
    kept: list[DecisionView] = []
    for heads, run in groupby(decisions, key=lambda one: one.kind == "head"):
        members = list(run)
        if heads and len(members) > 1:
            newest = members[0]
            members = [replace(newest, detail=f"{newest.detail} (and {len(members) - 1} before it)")]
        kept += members
    return kept[:lines]


def _title(view: RolloutView, now_us: int) -> RenderableType:
    head, pin = view.head_version or "none", view.pin_version or "none"
    line = Table.grid(expand=True)
    line.add_column(ratio=1)
    line.add_column(justify="right", no_wrap=True)
    told = Text(f"{view.model}: head {head}, pin {pin}, epoch {view.epoch}, revision {view.revision}", "bold")
    line.add_row(told, Text(f"{_stamp(now_us, now_us)} UTC", "dim"))
    return line


def _alerts(view: RolloutView) -> list[RenderableType]:
    found = []
    if view.frozen:
        found.append(alert("FROZEN", f"nothing can be published until `martlet rollout thaw`: {view.frozen}"))
    if view.rewind:
        found.append(
            alert(
                "REWINDING",
                f"no version is taken until training is back at version {view.head_version}",
                "bold black on yellow",
            )
        )
    if view.alarms:
        found.append(alert(f"ALARMS {view.alarms}", "since the pin moved last"))
    return found


def _section(heading: str, *parts: RenderableType) -> list[RenderableType]:
    return [Text(""), Text(heading, "bold underline"), *(Padding(part, (0, 0, 0, 2), expand=False) for part in parts)]


def _answers(screen: RolloutScreen, cells: int) -> Table:
    lines = table(">version", "place", ">share", "")
    for version, places in standings(screen.view).items():
        one = screen.aspired(version)
        weight = one.weight if one is not None else 0
        style = "green" if "pin" in places else "cyan"
        lines.add_row(
            str(version),
            Text(" + ".join(places)),
            share_text(weight) if weight else "-",
            bar(weight / ALL_BUCKETS, cells, style),
        )
    return lines


def _evidence(view: RolloutView, cells: int) -> list[RenderableType]:
    paths = [path for path in view.paths if path.version]
    if not paths:
        return [Text("nothing is compared now")]
    lines = table("compared", ">labels", ">mean", "", ">evidence", "at the bound")
    for path in paths:
        lines.add_row(*_path_cells(path, cells))
    lines.add_row(
        "warning", "", "", *_level(view.warning, view.warning_level, cells, "yellow", "bold yellow"), "step back"
    )
    gap = Text(f"open gap {view.open_gap:.1f}: harm that no label has shown yet, at most")
    return [lines, gap, Text(_caption(paths), "dim")]


def _caption(paths: Sequence[EvidencePath]) -> str:
    """How to read the figures: a bar that is half full is no bad news in a watch that never ends."""
    told = "a mean above 0 is worse; in nats, or range²/2 of labels that are numbers"
    for path in paths:
        if path.name == "head-pin" and path.units > 1:
            told += (
                f"; the head's alarm stands near {log(path.units):.1f} while all is well, after {path.units:,} units"
            )
    return told


def _path_cells(path: EvidencePath, cells: int) -> list[RenderableType]:
    question = QUESTIONS.get(path.name, Question(f"{path.name}: {{}} vs {{}}", "decided", harm=False))
    reached, calm = ("bold red", "cyan") if question.harm else ("bold green", "green")
    mean = Text(f"{path.mean:+z.4f}{question.unit}", "red" if path.mean > 0 else "")
    level = _level(path.log_evidence, path.bound, cells, calm, reached)
    outcome = Text(question.at_bound, reached if path.log_evidence >= path.bound else "")
    compared = Text(question.compared.format(path.version, path.comparator))
    return [compared, f"{path.labels:,}", mean, *level, outcome]


def _level(evidence: float, bound: float, cells: int, calm: str, reached: str) -> tuple[Text, Text]:
    """A process's bar, and its figures."""
    style = reached if evidence >= bound else calm
    part = evidence / bound if evidence >= SHOWN_EVIDENCE else 0.0
    figure = f"{evidence:z.1f}" if isfinite(evidence) else "none"
    return bar(part, cells, style), Text(f"{figure} / {bound:.1f}", style if evidence >= bound else "")


def _decisions(decisions: Sequence[DecisionView], now_us: int, most: int) -> Table:
    lines = table("UTC", ">age", "kind", "who", "", header=False)
    lines.columns[3].max_width = WHO_WIDTH
    for decision in condensed(decisions, most):
        spoken = SPOKEN.fullmatch(decision.detail)
        what, who = (spoken["what"], spoken["who"]) if spoken else (decision.detail, "registry")
        what = f"{what} [{decision.caller}]" if decision.who and decision.caller else what
        lines.add_row(
            _stamp(decision.time_us, now_us),
            age((now_us - decision.time_us) / 1e6),
            Text(decision.kind, DECISION_STYLES.get(decision.kind, "")),
            Text(who, "bold" if spoken else "dim"),
            Text(what),
        )
    return lines


def _stamp(time_us: int, now_us: int) -> str:
    """The time of day; with its date if that is another than now's."""
    time, now = (datetime.fromtimestamp(us / 1e6, UTC) for us in (time_us, now_us))
    return time.strftime("%H:%M:%S" if time.date() == now.date() else "%m-%d %H:%M")
