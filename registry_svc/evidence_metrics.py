"""Series about the judge: where its processes stand, where they decide, how many labels that rests on."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from martlet.clock import Clock
from martlet.rollouts import EvidencePath
from martlet.runtime.read_gauge import ReadGauge, Readings
from registry_svc.lane import Lane
from registry_svc.model_judge import ModelJudge

_MODEL: Final = ["model"]
_PATH: Final = {
    "log": "Log evidence of a process",
    "log_bound": "Log evidence at which the process decides",
    "mean_nats": "Mean loss difference; positive: the version is worse",
    "labels": "Labels in a comparison so far",
    "units": "Whole sessions in a comparison so far",
}
_FIGURES: Final = {
    "judged_labels": "Labels of head against pin in this epoch",
    "warning": "Log evidence of the warning process that governs the share",
    "open_gap_nats": "Possible harm of the live lane that no label has shown yet",
}


class EvidenceMetrics:
    """One instance for each CollectorRegistry. Written by one thread, the catalog's."""

    def __init__(self, collectors: CollectorRegistry, clock: Clock) -> None:
        self._clock = clock
        self._watermarks: dict[str, int] = {}
        self._shown: dict[str, set[str]] = {}
        self._batches = Counter(
            "martlet_registry_evidence_batches", "Batches of evidence judged", _MODEL, registry=collectors
        )
        self._figures = {
            name: Gauge(f"martlet_registry_{name}", text, _MODEL, registry=collectors)
            for name, text in _FIGURES.items()
        }
        self._path = {
            name: Gauge(f"martlet_registry_evidence_{name}", text, ["model", "path"], registry=collectors)
            for name, text in _PATH.items()
        }
        ReadGauge(
            "martlet_registry_evidence_age_seconds",
            "Since the event time that the newest judged batch has come to",
            _MODEL,
            self._ages,
            collectors,
        )

    def judged(self, lane: Lane, judge: ModelJudge) -> None:
        """Shows where the judge stands after a batch. A comparison that has ended is shown no more."""
        model, evidence = lane.model, judge.lane_evidence()
        self._batches.labels(model).inc()
        self._watermarks[model] = judge.watermark_us
        figures = {
            "judged_labels": evidence.findings.labels,
            "warning": evidence.findings.warning,
            "open_gap_nats": evidence.open_gap,
        }
        for name, figure in figures.items():
            self._figures[name].labels(model).set(figure)
        trial = judge.trial_evidence().findings.paths if lane.trial is not None else ()
        self._show(model, (*evidence.findings.paths, *trial))

    def _show(self, model: str, paths: tuple[EvidencePath, ...]) -> None:
        for path in paths:
            values = (path.log_evidence, path.bound, path.mean, path.labels, path.units)
            for name, value in zip(_PATH, values, strict=True):
                self._path[name].labels(model, path.name).set(value)
        names = {path.name for path in paths}
        for gone in self._shown.get(model, set()) - names:
            for gauge in self._path.values():
                gauge.remove(model, gone)
        self._shown[model] = names

    def _ages(self) -> Readings:
        now_us = self._clock.now_us()
        return {(model,): max(0.0, (now_us - time) / 1e6) for model, time in self._watermarks.copy().items() if time}
