"""Rollouts as the command shows them."""

from dataclasses import replace

from martlet.rollout_views import RolloutScreen
from martlet.rollouts import DecisionView, EvidencePath, RolloutView
from martlet.versions import AspiredVersion, Role

NOW_US = 1_700_000_000_000_000  # 2023-11-14 22:13:20 UTC
HEAD_PIN = EvidencePath("head-pin", 7, 5, 600, 120, -0.0041, 4.2, 9.9)
CANDIDATE_PIN = EvidencePath("candidate-pin", 6, 5, 600, 120, 0.0019, float("-inf"), 3.0)
CALM = RolloutView(
    model="shop",
    epoch=2,
    revision=9,
    head_version=7,
    pin_version=5,
    candidate_version=6,
    weight=9000,
    alarms=0,
    rewind=False,
    frozen="",
    structural_version=8,
    structural_phase="shadow",
    waiting_version=9,
    warning=0.5,
    warning_level=3.0,
    open_gap=12.25,
    paths=(HEAD_PIN, CANDIDATE_PIN),
    awaited=("candidate 6: its certificate",),
    decisions=(),
)
SCREEN = RolloutScreen(
    CALM,
    (
        AspiredVersion(7, "g" * 64, Role.HEAD, 9000),
        AspiredVersion(5, "e" * 64, Role.PIN, 1000),
        AspiredVersion(6, "f" * 64, Role.CANDIDATE, 0),
        AspiredVersion(8, "h" * 64, Role.CANARY, 0, shadow=True),
    ),
    "shop/2",
    5000,
)


def screen(**changes: object) -> RolloutScreen:
    """The calm screen with some of its view changed."""
    return replace(SCREEN, view=replace(CALM, **changes))  # type: ignore[arg-type]  # named fields of the view


def decision(number: int, kind: str, detail: str, seconds_ago: float = 0.0) -> DecisionView:
    return DecisionView(number, kind, detail, NOW_US - round(seconds_ago * 1e6), 2)
