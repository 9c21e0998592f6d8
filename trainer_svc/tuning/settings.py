"""Settings by dotted path, put into a configuration and written as the YAML that holds them."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, cast, get_type_hints

import msgspec

from martlet.errors import InvalidInput
from martlet.runtime.config import Config
from martlet.runtime.learning_config import LearningConfig
from trainer_svc.tuning.space import Settings

# What of the trainer's section changes what is learned; the rest is of no use here.
TRAINER_SETTINGS: Final = frozenset({"batch_examples", "table_dtype", "initial_buckets"})
_LEARNING: Final = frozenset(one.name for one in fields(LearningConfig))


def full_path(path: str) -> tuple[str, ...]:
    """The path of a setting from the configuration's top; `learning.` may be left out.

    >>> full_path("optimizer.rate")
    ('learning', 'optimizer', 'rate')

    Raises:
        InvalidInput: it is none that learning depends on.
    """
    parts = tuple(path.split("."))
    if parts[0] in _LEARNING:
        parts = ("learning", *parts)
    learning = parts[0] == "learning" and len(parts) > 1 and parts[1] in _LEARNING
    trainer = parts[0] == "trainer" and len(parts) == 2 and parts[1] in TRAINER_SETTINGS  # noqa: PLR2004  a.b
    if not (learning or trainer) or not all(parts):
        raise InvalidInput(
            f"{path} cannot be tuned: name a setting of learning ({', '.join(sorted(_LEARNING))}) or one of "
            f"{', '.join(f'trainer.{name}' for name in sorted(TRAINER_SETTINGS))}"
        )
    return parts


def configured(config: Config, settings: Settings) -> Config:
    """The configuration with these settings.

    Raises:
        InvalidInput: there is no such setting, or it cannot have that value; the message names it.
    """
    for path, value in settings.items():
        config = cast("Config", _with(config, full_path(path), value, path))
    return config


def nested(settings: Settings) -> dict[str, Any]:
    """The same as sections, for a YAML file.

    >>> nested({"optimizer.rate": 0.1, "trainer.batch_examples": 64})
    {'learning': {'optimizer': {'rate': 0.1}}, 'trainer': {'batch_examples': 64}}
    """
    content: dict[str, Any] = {}
    for path, value in settings.items():
        *sections, name = full_path(path)
        at = content
        for section in sections:
            at = at.setdefault(section, {})
        at[name] = value
    return content


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Two contents of YAML files; where both name a setting, the second one's holds."""
    both = dict(base)
    for name, value in over.items():
        old = both.get(name)
        both[name] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both


def _with(section: Any, parts: tuple[str, ...], value: Any, path: str) -> Any:
    name, *rest = parts
    if isinstance(section, Mapping):
        inner = _with(section.get(name, {}), tuple(rest), value, path) if rest else value
        return {**section, name: inner}
    if not is_dataclass(section) or isinstance(section, type) or name not in {one.name for one in fields(section)}:
        raise InvalidInput(f"{path}: there is no setting {name}")
    if rest:
        return replace(section, **{name: _with(getattr(section, name), tuple(rest), value, path)})
    try:
        return replace(section, **{name: msgspec.convert(value, get_type_hints(type(section))[name], strict=False)})
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{path}: {error}") from error
