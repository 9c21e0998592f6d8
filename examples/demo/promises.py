"""What the demo promises, and whether it was kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

AUDITED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Promise:
    """One line: what was promised, what was found. A timing that is missed is a warning, the rest is an error."""

    name: str
    found: str
    wanted: str
    kept: bool
    timing: bool = False


def promises(summary: Mapping[str, Any], *, whole: bool) -> list[Promise]:
    """All promises on a summary. `whole`: all events were replayed, so the counts apply."""
    auc, live = summary["auc"], summary["freshness_ms"]["live"]
    compared = min(AUDITED, summary["requests"])  # an audit that compared nothing has found nothing
    kept = [
        Promise("failed_requests", str(summary["failed_requests"]), "0", summary["failed_requests"] == 0),
        Promise(
            "parity_max_abs_diff", f"{summary['parity_max_abs_diff']:.1e} of {summary['audit']['answers']}",
            f"<= 1e-6 of >= {compared}",
            summary["parity_max_abs_diff"] <= 1e-6 and summary["audit"]["answers"] >= compared,
        ),
        Promise("corrupt_version.state", summary["corrupt_version"]["state"], "REJECTED",
                summary["corrupt_version"]["state"] == "REJECTED"),
        Promise("corrupt_version.answers", str(summary["corrupt_version"]["answers"]), "0",
                summary["corrupt_version"]["answers"] == 0),
        Promise("learned exactly once", str(summary["events"]["learned"]), str(summary["events"]["acknowledged"]),
                summary["events"]["learned"] == summary["events"]["acknowledged"]
                and summary["audit"]["digests_equal"] and summary["audit"]["versions_checked"] > 0),
    ]  # fmt: skip
    if whole:
        kept += [
            Promise("requests", str(summary["requests"]), ">= 100000", summary["requests"] >= 100_000),
            Promise("swaps", str(summary["swaps"]), ">= 50", summary["swaps"] >= 50),
            Promise("auc.online", f"{auc['online']:.4f}", f"> frozen {auc['frozen_at_20pct']:.4f}",
                    auc["online"] > auc["frozen_at_20pct"]),
            Promise("auc.online", f"{auc['online']:.4f}", f">= retrained {auc['retrained_every_10pct']:.4f} - 0.002",
                    auc["online"] >= auc["retrained_every_10pct"] - 0.002),
        ]  # fmt: skip
    return [
        *kept,
        Promise("freshness_ms.live p50", f"{live['p50']:.0f}", "<= 1500", live["p50"] <= 1500, timing=True),
        Promise("freshness_ms.live p99", f"{live['p99']:.0f}", "<= 4000", live["p99"] <= 4000, timing=True),
        Promise("duration_s", f"{summary['duration_s']:.0f}", "<= 240", summary["duration_s"] <= 240, timing=True),
    ]
