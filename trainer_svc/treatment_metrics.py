"""Series about hygiene, drift, replay and features. As many as the model has features, no more.

They are gauges: what they show is part of the state, and goes back with it when learning goes back to a version.
"""

import math
from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from trainer_svc.batch_treatment import TreatmentFigures
from trainer_svc.outcome_account import OutcomeAccount

_MODEL: Final = ["model"]


class TreatmentMetrics:
    """The series."""

    def __init__(self, collectors: CollectorRegistry) -> None:
        self._alarms = Gauge(
            "martlet_trainer_drift_alarms", "How often drift was noticed", ["model", "series", "detector"],
            registry=collectors,
        )  # fmt: skip
        self._treated = Gauge(
            "martlet_trainer_treated", "Values and examples by what was done about them", ["model", "what"],
            registry=collectors,
        )  # fmt: skip
        self._reasons = Gauge(
            "martlet_trainer_outcomes_not_learned", "Outcomes that are not learned, by reason",
            ["model", "place", "reason"], registry=collectors,
        )  # fmt: skip
        self._rate = Gauge(
            "martlet_trainer_rate_factor", "What learning rates are multiplied by", _MODEL, registry=collectors
        )
        self._features = Gauge(
            "martlet_trainer_feature", "What a feature's values look like", ["model", "feature", "figure"],
            registry=collectors,
        )  # fmt: skip

    def show(self, model: str, figures: TreatmentFigures, account: OutcomeAccount) -> None:
        """Takes new figures over."""
        for name, count in figures.alarms.items():
            series, _, detector = name.rpartition("/")
            self._alarms.labels(model, series, detector).set(count)
        for what, count in figures.counts.items():
            self._treated.labels(model, what).set(count)
        for place, counts in (("excluded", account.excluded), ("dead_lettered", account.dead_lettered)):
            for reason, count in counts.items():
                self._reasons.labels(model, place, str(reason)).set(count)
        self._rate.labels(model).set(figures.rate)
        for feature in figures.features:
            values = {
                "count": feature.count, "missing_share": feature.missing, "mean": feature.mean,
                "deviation": feature.deviation, "unseen_share": feature.unseen,
            }  # fmt: skip
            values |= {f"quantile_{share:g}": value for share, value in feature.quantiles}
            for figure, value in values.items():
                self._features.labels(model, feature.name, figure).set(value if math.isfinite(value) else 0.0)
