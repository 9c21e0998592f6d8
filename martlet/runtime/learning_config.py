"""Settings of learning itself: what stands here decides what is learned from the log, so it holds for a whole lineage.

Its plain form stands in the first entry of the trainer's journal. A data directory that was begun with other settings
is refused (see `changed_setting`): the same log would give other bits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

import msgspec

from martlet.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class HygieneConfig:
    """What is done about values and events that would teach something wrong. Nothing, unless it is set.

    Attributes:
        missing: by the name of a number, what is learned where it is missing: `zero`, `mean` (of what came before),
            `last` (what was known last of the same user or item), or `drop` (the example is not learned).
        outliers: numbers are cut to a range: `quantile` (winsorised) or `deviation`; empty: they are not.
        outlier_share: of `quantile`: so large a share at each end is cut.
        outlier_deviations: of `deviation`: cut at so many standard deviations from the mean.
        clip: by the name of a number, its least and greatest value; beyond, it is cut.
        memory_examples: ranges and means count an example half so many examples later; 0: all alike.
        bot_events: a user with more events (predictions and outcomes) than this in a window is taken for a bot until a
            whole window was below: what comes from it is not learned. 0: nobody is.
        bot_window_seconds: that window, in event time.
        near_duplicate_ms: an outcome of the same user, item and type within so many milliseconds of another, under
            another event id, is a repetition. 0: none is.
        statistics_every: every so many batches each feature's values enter its statistics; 0: there are none.
    """

    missing: dict[str, Literal["zero", "mean", "last", "drop"]] = field(default_factory=dict)
    outliers: Literal["", "quantile", "deviation"] = ""
    outlier_share: float = 0.001
    outlier_deviations: float = 6.0
    clip: dict[str, tuple[float, float]] = field(default_factory=dict)
    memory_examples: int = 1_000_000
    bot_events: int = 0
    bot_window_seconds: float = 60.0
    near_duplicate_ms: int = 0
    statistics_every: int = 0

    def __post_init__(self) -> None:
        _check("hygiene.outlier_share", 0 < self.outlier_share < 0.5, "above 0 and below 0.5")  # noqa: PLR2004
        _check("hygiene.outlier_deviations", self.outlier_deviations > 0, "above 0")
        _check("hygiene.bot_window_seconds", self.bot_window_seconds > 0, "above 0")
        for name, (low, high) in self.clip.items():
            _check(f"hygiene.clip.{name}", low <= high, "a range")
        for name in ("memory_examples", "bot_events", "near_duplicate_ms", "statistics_every"):
            _check(f"hygiene.{name}", getattr(self, name) >= 0, "at least 0")


@dataclass(frozen=True, slots=True)
class DriftConfig:
    """How drift is noticed, and what is done about it. Nothing, unless it is set.

    Attributes:
        detectors: which watch: `adwin`, `page_hinkley`, `kswin`; none: nobody does.
        features: numbers that are watched beside the learner's own loss, by their inputs' names.
        adwin_delta: the less, the rarer alarms are.
        adwin_clock: ADWIN looks after so many numbers.
        page_hinkley_threshold: λ, how large a sum of deviations is an alarm.
        page_hinkley_delta: δ, a change of the mean that is borne.
        kswin_alpha: the chance of an alarm at one comparison.
        kswin_window: numbers that KSWIN remembers.
        kswin_stat: how many of them it compares with as many before.
        rate_boost: on an alarm learning rates are multiplied by this; 1: they are not.
        boost_examples: after so many examples half of that is gone.
        weight_half_life_seconds: an example so long after its event counts half; 0: all count alike.
        distillation: share of the loss that is towards the pin's answer; 0: none.
        cohort_share: share of users, chosen by a hash, whose first examples are held out to measure forgetting with;
            0: none.
        cohort_rows: most examples held for that.
        cohort_seconds: how long examples are held out, in event time, from the first event on.
        cohort_period_seconds: after so long examples are held out again, for a younger cohort; 0: never.
        cohort_interval_seconds: the old cohort is scored about so often, in event time.
    """

    detectors: tuple[Literal["adwin", "page_hinkley", "kswin"], ...] = ()
    features: tuple[str, ...] = ()
    adwin_delta: float = 0.002
    adwin_clock: int = 32
    page_hinkley_threshold: float = 75.0
    page_hinkley_delta: float = 0.005
    kswin_alpha: float = 1e-7
    kswin_window: int = 500
    kswin_stat: int = 100
    rate_boost: float = 1.0
    boost_examples: int = 20_000
    weight_half_life_seconds: float = 0.0
    distillation: float = 0.0
    cohort_share: float = 0.0
    cohort_rows: int = 2048
    cohort_seconds: float = 86_400.0
    cohort_period_seconds: float = 0.0
    cohort_interval_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("adwin_delta", "kswin_alpha"):
            _check(f"drift.{name}", 0 < getattr(self, name) < 1, "above 0 and below 1")
        for name in ("page_hinkley_threshold", "rate_boost", "cohort_seconds"):
            _check(f"drift.{name}", getattr(self, name) > 0, "above 0")
        for name in ("adwin_clock", "boost_examples", "cohort_rows", "kswin_stat"):
            _check(f"drift.{name}", getattr(self, name) >= 1, "at least 1")
        for name in ("distillation", "cohort_share"):
            _check(f"drift.{name}", 0 <= getattr(self, name) <= 1, "from 0 to 1")
        for name in ("weight_half_life_seconds", "cohort_period_seconds", "cohort_interval_seconds"):
            _check(f"drift.{name}", getattr(self, name) >= 0, "at least 0")
        _check("drift.kswin_window", self.kswin_window >= 2 * self.kswin_stat, "at least twice drift.kswin_stat")


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """Which past examples are learned again. None, unless it is set.

    Attributes:
        share: share of each batch's learning that is of past examples; 0: none.
        rows: past examples kept to choose from. A checkpoint holds them.
        horizon: 0: of all that ever came, each is kept with the same chance; else older ones fade, after about so many.
        density_ratio: a past example counts as much as it is likelier today than among past ones.
        restart_on_alarm: when drift is noticed, what came before is replayed no more.
        seed: which examples these are.
    """

    share: float = 0.0
    rows: int = 10_000
    horizon: int = 0
    density_ratio: bool = False
    restart_on_alarm: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        _check("replay.share", 0 <= self.share <= 0.9, "from 0 to 0.9")  # noqa: PLR2004
        _check("replay.rows", self.rows >= 1, "at least 1")
        _check("replay.horizon", self.horizon == 0 or self.horizon >= self.rows, "0, or at least replay.rows")


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """How examples are changed or multiplied before they are learned. Not at all, unless it is set.

    Attributes:
        mask_ids: by the name of an input with ids, the chance that an id is learned as one that nobody knows yet.
        rare_share: past positives come in until positives are such a share of each batch, all of them together with
            the weight that the batch's own had; 0: none do.
        rare_rows: past positives kept to choose from. A checkpoint holds them.
        rare_horizon: as `replay.horizon`.
        seed: which ids and examples these are.
    """

    mask_ids: dict[str, float] = field(default_factory=dict)
    rare_share: float = 0.0
    rare_rows: int = 5_000
    rare_horizon: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, chance in self.mask_ids.items():
            _check(f"augmentation.mask_ids.{name}", 0 <= chance <= 1, "from 0 to 1")
        _check("augmentation.rare_share", 0 <= self.rare_share <= 0.9, "from 0 to 0.9")  # noqa: PLR2004
        _check("augmentation.rare_rows", self.rare_rows >= 1, "at least 1")
        low = self.rare_horizon == 0 or self.rare_horizon >= self.rare_rows
        _check("augmentation.rare_horizon", low, "0, or at least augmentation.rare_rows")


@dataclass(frozen=True, slots=True)
class LearningConfig:
    """Learning, in sections.

    What a journal leaves out is the default, also where an older release wrote it: a default, once released, stays.

    Attributes:
        hygiene: values and events that would teach something wrong.
        drift: noticing drift, and answering it.
        replay: past examples, learned again.
        augmentation: examples changed or multiplied.
        label: overrides of the model's label, by name.
        strategy: how learning goes on beside the stream: settings of strategies, by name.
        optimizer: overrides of the model's dense optimizer, by name.
        rows: overrides of the optimizer of the model's rows, by name.
    """

    hygiene: HygieneConfig = field(default_factory=HygieneConfig)
    drift: DriftConfig = field(default_factory=DriftConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    label: dict[str, Any] = field(default_factory=dict)
    strategy: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, Any] = field(default_factory=dict)


def plain_learning(config: LearningConfig) -> dict[str, Any]:
    """The settings that are no defaults, as JSON knows them: equal settings give equal plain forms.

    >>> plain_learning(LearningConfig(rows={"rate": 0.1}))
    {'rows': {'rate': 0.1}}
    """
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(_pruned(config), order="sorted"))
    return plain


def learning_of(plain: Mapping[str, Any]) -> LearningConfig:
    """The settings from their plain form.

    Raises:
        msgspec.ValidationError: of a release that knows other settings.
    """
    return msgspec.convert(dict(plain), LearningConfig)


def changed_setting(begun: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first setting of two plain forms that differs, with both values; "" if none does.

    >>> changed_setting({"rows": {"rate": 0.1}}, {})
    'learning.rows.rate (begun with 0.1, now left out)'
    """
    before, after = dict(_leaves("learning", begun)), dict(_leaves("learning", wanted))
    for name in sorted(before.keys() | after.keys()):
        if name not in after or name not in before or before[name] != after[name]:
            return f"{name} (begun {_told(before, name, 'with ')}, now {_told(after, name, '')})"
    return ""


def _check(name: str, holds: bool, must: str) -> None:  # noqa: FBT001
    if not holds:
        raise InvalidInput(f"bad setting: learning.{name} must be {must}")


def _pruned(value: Any) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    default = type(value)()
    for one in fields(value):
        own = getattr(value, one.name)
        if own != getattr(default, one.name):
            kept[one.name] = _pruned(own) if is_dataclass(own) else own
    return kept


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield name, value
        return
    for key, inner in value.items():
        yield from _leaves(f"{name}.{key}", inner)


def _told(leaves: Mapping[str, Any], name: str, before: str) -> str:
    return f"{before}{leaves[name]!r}" if name in leaves else ("without it" if before else "left out")
