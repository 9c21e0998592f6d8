"""Rollout policies from YAML. A fault is told with its line.

default:                # every model that is not named
  quality: evidence     # or health
models:
  shop:
    mode: live          # or certified: every version takes the structural road
    live:
      steps: [0, 500, 2500, 9000]
      judge: {margin: 0.003}
    structural: {shadow_labels: 2000}
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar, get_type_hints

import msgspec
import yaml

from martlet.errors import InvalidInput
from martlet.runtime.config import RegistryConfig
from registry_svc.policy import EvidencePolicy, LanePolicy, Policies

T = TypeVar("T")
Place = tuple[str | int, ...]

QUALITIES: Final = ("evidence", "health")
MODES: Final = ("live", "certified")
_KNOBS: Final = ("pin_min_seconds", "pin_min_requests", "lane_weight")
ALL_BUCKETS: Final = 10_000


def load_policies(settings: RegistryConfig) -> Policies:
    """The policies of the registry's settings and of the file that they name.

    Raises:
        InvalidInput: one line that names the file, the line and what is wrong there.
    """
    if settings.quality not in QUALITIES:
        raise InvalidInput(f"bad setting: registry.quality is {settings.quality!r}, not one of {', '.join(QUALITIES)}")
    base = LanePolicy(
        settings.lane_weight,
        settings.pin_min_seconds,
        settings.pin_min_requests,
        EvidencePolicy() if settings.quality == "evidence" else None,
    )
    return _File(Path(settings.rollout)).policies(base) if settings.rollout else Policies(base)


MOST_NODES: Final = 100_000


class _File:
    """One file, with the line of each of its keys."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[Place, int] = {}
        self._nodes = 0
        try:
            node = yaml.compose(path.read_text(), yaml.SafeLoader)
            self._content = {} if node is None else self._read(node, ())
        except OSError as error:
            raise InvalidInput(f"cannot read {path}: {error.strerror}") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise InvalidInput(f"{path}:{line}: not YAML: {error.problem}") from error
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # no UTF-8, no date, no number, no end
            raise InvalidInput(f"{path}: not YAML: {str(error).splitlines()[0]}") from error

    def policies(self, base: LanePolicy) -> Policies:
        """Everything in it."""
        sections = self._section(self._content, (), ("default", "models"))
        default = self._policy(sections.get("default", {}), ("default",), base)
        models = self._section(sections.get("models", {}), ("models",), None)
        return Policies(default, {str(name): self._policy(models[name], ("models", name), default) for name in models})

    def _policy(self, section: object, place: Place, base: LanePolicy) -> LanePolicy:
        found = self._section(section, place, ("mode", "quality", "live", "structural", *_KNOBS))
        mode = self._choice(found, place, "mode", MODES, "certified" if base.certified else "live")
        quality = self._choice(found, place, "quality", QUALITIES, "health" if base.evidence is None else "evidence")
        if mode == "certified" and quality == "health":
            raise self._bad((*place, "mode"), "certified versions need evidence")
        evidence = self._fill(base.evidence or EvidencePolicy(), found.get("live", {}), (*place, "live"))
        trial = self._fill(base.trial, found.get("structural", {}), (*place, "structural"))
        self._check_steps(evidence.steps, (*place, "live", "steps"), first_is_shadow=True)
        self._check_steps(trial.steps, (*place, "structural", "steps"), first_is_shadow=False)
        knobs = {name: found[name] for name in _KNOBS if name in found}
        filled = self._fill(base, knobs, place)
        decides = evidence if quality == "evidence" else None
        return replace(filled, evidence=decides, trial=trial, certified=mode == "certified")

    def _fill(self, value: T, section: object, place: Place) -> T:
        """A dataclass with some of its fields set anew, nested ones too."""
        hints = get_type_hints(type(value))
        names = tuple(field.name for field in fields(value))  # type: ignore[arg-type]
        changed: dict[str, Any] = {}
        for name, given in self._section(section, place, names).items():
            if is_dataclass(hints[name]):
                changed[name] = self._fill(getattr(value, name), given, (*place, name))
                continue
            try:
                changed[name] = msgspec.convert(given, hints[name])
            except msgspec.ValidationError as error:
                raise self._bad((*place, name), f"{name}: {error}") from error
        try:
            return replace(value, **changed)  # type: ignore[type-var]
        except ValueError as error:
            raise self._bad((*place, *list(changed)[:1]), str(error)) from error

    def _section(self, found: object, place: Place, known: tuple[str, ...] | None) -> Mapping[str, Any]:
        if not isinstance(found, dict):
            raise self._bad(place, f"{place[-1] if place else 'the file'} must be a section")
        for name in found:
            if known is not None and name not in known:
                raise self._bad((*place, name), f"{name} is no knob (known here: {', '.join(sorted(known))})")
        return found

    def _choice(self, found: Mapping[str, Any], place: Place, name: str, known: tuple[str, ...], default: str) -> str:
        value = found.get(name, default)
        if value not in known:
            raise self._bad((*place, name), f"{name} is {value!r}, not one of {', '.join(known)}")
        return str(value)

    def _check_steps(self, steps: tuple[int, ...], place: Place, *, first_is_shadow: bool) -> None:
        ascending = all(low < high for low, high in pairwise(steps))
        if not steps or not ascending or steps[0] < 0 or steps[-1] > ALL_BUCKETS:
            raise self._bad(place, f"steps must ascend within 0 to {ALL_BUCKETS}")
        if (steps[0] == 0) is not first_is_shadow:
            raise self._bad(
                place, "the first step is 0, the shadow" if first_is_shadow else "a canary's steps are above 0"
            )

    def _read(self, node: yaml.Node, place: Place) -> Any:
        self._lines.setdefault(place, node.start_mark.line + 1)
        self._nodes += 1
        if self._nodes > MOST_NODES:  # an alias of aliases of aliases is longer than it looks
            raise self._bad(place, f"more than {MOST_NODES} values")
        if isinstance(node, yaml.MappingNode):
            content = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise self._bad(place, "a knob's name is a word")
                name = yaml.SafeLoader("").construct_object(key)
                self._lines[*place, name] = key.start_mark.line + 1
                content[name] = self._read(value, (*place, name))
            return content
        if isinstance(node, yaml.SequenceNode):
            return [self._read(value, (*place, number)) for number, value in enumerate(node.value)]
        return yaml.SafeLoader("").construct_object(node)

    def _bad(self, place: Place, what: str) -> InvalidInput:
        while place and place not in self._lines:
            place = place[:-1]
        return InvalidInput(f"{self._path}:{self._lines.get(place, 1)}: {what}")
