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
        Promise("each event in one place", f"{_placed(summary['events'])} ({summary['events']['excluded']} excluded)",
                str(summary["events"]["acknowledged"]),
                _placed(summary["events"]) == summary["events"]["acknowledged"]
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


def second_promises(summary: Mapping[str, Any], sabotage: str) -> list[Promise]:
    """What the second act promises."""
    losses, pins = summary["logloss"], summary["pin_moves"]
    between = f"{losses['head']:.4f} (head) to {losses['pin']:.4f} (pin)"
    kept = [
        Promise("pin_moves", str(pins), ">= 20", pins >= 20),
        Promise("logloss.served", f"{losses['served']:.4f}", between,
                losses["head"] <= losses["served"] <= losses["pin"]),
        Promise("requests_by_quarantined_after_fence", str(summary["requests_by_quarantined_after_fence"]), "0",
                summary["requests_by_quarantined_after_fence"] == 0),
        Promise("healthy_rollbacks", str(summary["healthy_rollbacks"]), "0", summary["healthy_rollbacks"] == 0),
    ]  # fmt: skip
    if sabotage == "none":
        excluded = summary["events"]["excluded"]
        return [*kept, Promise("nothing is excluded", str(excluded), "0", excluded == 0)]
    most_labels, most_requests = (6_000, 4_000) if sabotage == "half" else (3_500, 2_500)
    bad = summary["bad_version"]
    kept += [
        Promise("bad_version.state", bad["state"], "ROLLED_BACK", bad["state"] == "ROLLED_BACK"),
        _at_most("bad_version.labels_to_detect", bad["labels_to_detect"], most_labels),
        _at_most("bad_version.user_requests", bad["user_requests"], most_requests),
        Promise("trainer_rewound", str(summary["trainer_rewound"]), "True",
                summary["trainer_rewound"] and summary["alarms"] > 0),
    ]  # fmt: skip
    if sabotage == "flip":
        return [*kept, _at_most("poisoned_pins_before_alarm", summary["poisoned_pins_before_alarm"], 0)]
    for name, state in (("gated_version", "REJECTED"), ("structural_bad", "ROLLED_BACK")):
        found = summary[name]
        kept += [
            Promise(f"{name}.state", found["state"], state, found["state"] == state),
            _at_most(f"{name}.user_requests", found["user_requests"], 0),
        ]
    return kept


def _at_most(name: str, found: int | None, most: int) -> Promise:
    return Promise(name, str(found), f"<= {most}", found is not None and found <= most)


def _placed(events: Mapping[str, int]) -> int:
    return sum(events[place] for place in ("learned", "excluded", "dead_lettered", "pending"))
