"""The report's part on the judge: evidence against its bound, the lanes, and what was decided."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from examples.demo.charts import lines
from examples.demo.second_act import Watched
from martlet.rollouts import RolloutView
from registry_svc.journal import Decision, DecisionKind

SHOWN = frozenset(DecisionKind) - {DecisionKind.HEAD, DecisionKind.CANDIDATE, DecisionKind.PIN}


def judge_section(summary: Mapping[str, Any], watched: Watched, decisions: Sequence[Decision]) -> str:
    """The section, as HTML."""
    if not watched.views:
        return ""
    start = watched.views[0][0]
    seconds = [(at - start, view) for at, view in watched.views]
    return f"""<h2>The judge</h2>
<p>{escape(_told(summary))}</p>
<h3>Evidence that the head is worse than the pin</h3>
<p>Log evidence over its bound: at 1 the lane closes. It starts anew with each new pin. <i>Warning</i>: the fast process
that governs the share, over its level.</p>
{lines(_evidence(seconds), "seconds", "share of the bound")}
<h3>The lanes</h3>
<p>The head's share of users, as decided; the control share is the pin's.</p>
{lines({"live": [(at, view.weight / 10_000) for at, view in seconds]}, "seconds", "share")}
<p>How far the pin lies behind the head, in versions.</p>
{lines({"pin": [(at, float(view.head_version - view.pin_version)) for at, view in seconds]}, "seconds", "versions")}
<h3>What was decided</h3>
<table><tr><th>second</th><th>kind</th><th>what</th></tr>{_rows(decisions)}</table>
"""


def _told(summary: Mapping[str, Any]) -> str:
    losses = summary["logloss"]
    text = (
        f"The pin moved {summary['pin_moves']} times. Log-loss on the same answers: as served {losses['served']:.4f}, "
        f"head {losses['head']:.4f}, pin {losses['pin']:.4f}."
    )
    bad = summary.get("bad_version")
    if bad and bad["labels_to_detect"] is not None:
        text += (
            f" Wrong labels were learned from event {int(summary['flip_from']):,} on; the alarm came after "
            f"{bad['labels_to_detect']:,} labels, {bad['user_requests']:,} answers had been given by what had learned "
            "from them, and learning went back to the pin."
        )
    return text


def _evidence(seconds: Sequence[tuple[float, RolloutView]]) -> dict[str, list[tuple[float, float]]]:
    paths: dict[str, list[tuple[float, float]]] = {"evidence": [], "warning": []}
    for at, view in seconds:
        path = next((one for one in view.paths if one.name == "head-pin"), None)
        if path is not None and path.bound > 0:
            paths["evidence"].append((at, min(max(path.log_evidence / path.bound, 0.0), 1.2)))
            paths["warning"].append((at, min(view.warning / view.warning_level, 1.6)))
    return {name: points for name, points in paths.items() if points}


def _rows(decisions: Sequence[Decision]) -> str:
    start = decisions[0].time_us if decisions else 0
    return "".join(
        f"<tr><td>{(one.time_us - start) / 1e6:.0f}</td><td>{one.kind.value}</td><td>{escape(one.detail)}</td></tr>"
        for one in decisions
        if one.kind in SHOWN
    )
