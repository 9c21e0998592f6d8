"""Settings of learning that leave nothing off, for short streams of `fakes.SPEC`."""

from typing import Any

EVERYTHING: dict[str, Any] = {
    "hygiene": {
        "missing": {"price": "last"},
        "outliers": "quantile",
        "outlier_share": 0.1,
        "memory_examples": 30,
        "clip": {"price": [0.0, 2.5]},
        "bot_events": 4,
        "bot_window_seconds": 20.0,
        "near_duplicate_ms": 4000,
        "statistics_every": 2,
    },
    "drift": {
        "detectors": ["adwin", "page_hinkley", "kswin"],
        "features": ["price"],
        "adwin_delta": 0.9,
        "adwin_clock": 1,
        "page_hinkley_threshold": 0.4,
        "kswin_alpha": 0.4,
        "kswin_window": 12,
        "kswin_stat": 4,
        "rate_boost": 3.0,
        "boost_examples": 10,
        "weight_half_life_seconds": 20.0,
        "distillation": 0.3,
        "cohort_share": 0.3,
        "cohort_rows": 8,
        "cohort_seconds": 15.0,
        "cohort_period_seconds": 30.0,
        "cohort_interval_seconds": 5.0,
    },
    "replay": {"share": 0.4, "rows": 12, "horizon": 30, "density_ratio": True, "restart_on_alarm": True},
    "augmentation": {"mask_ids": {"user": 0.2, "item": 0.2}, "rare_share": 0.6, "rare_rows": 6},
}
