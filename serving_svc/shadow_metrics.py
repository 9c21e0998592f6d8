"""What shadow scoring does and costs, by role. One instance for each CollectorRegistry."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from martlet.versions import Role

_BUCKETS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


class RoleMetrics:
    """One role's children, resolved once since that costs more than counting."""

    def __init__(self, role: Role, of: "ShadowMetrics") -> None:
        name = role.name.lower()
        self.scored = of.scored.labels(name)
        self.failed = of.failed.labels(name)
        self.not_finite = of.not_finite.labels(name)
        self.seconds = of.seconds.labels(name)


class ShadowMetrics:
    """Counts requests, but for `seconds`, which times runs; a run scores several requests."""

    def __init__(self, collectors: CollectorRegistry) -> None:
        roles = ["role"]
        self.scored = Counter(
            "martlet_serving_shadow_scored", "Answers that a version scored too", roles, registry=collectors
        )
        self.failed = Counter(
            "martlet_serving_shadow_failed",
            "Answers without the score of a version that raised",
            roles,
            registry=collectors,
        )
        self.not_finite = Counter(
            "martlet_serving_shadow_not_finite", "Runs of a version that gave no number", roles, registry=collectors
        )
        self.seconds = Histogram(
            "martlet_serving_shadow_run_seconds",
            "Scoring what gathered, by one version",
            roles,
            buckets=_BUCKETS,
            registry=collectors,
        )
        self.dropped = Counter(
            "martlet_serving_shadow_dropped",
            "Records without shadow scores because too much waited",
            registry=collectors,
        )
        self.of = {role: RoleMetrics(role, self) for role in Role}
