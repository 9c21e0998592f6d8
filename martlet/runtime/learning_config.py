"""Settings of learning itself: what stands here decides what is learned from the log, so it holds for a whole lineage.

Its plain form stands in the first entry of the trainer's journal. A data directory that was begun with other settings
is refused (see `changed_setting`): the same log would give other bits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class HygieneConfig:
    """What is done about values and events that would teach something wrong. Nothing, unless it is set."""


@dataclass(frozen=True, slots=True)
class DriftConfig:
    """How drift is noticed, and what is done about it. Nothing, unless it is set."""


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """Which past examples are learned again. None, unless it is set."""


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """How examples are changed or multiplied before they are learned. Not at all, unless it is set."""


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
