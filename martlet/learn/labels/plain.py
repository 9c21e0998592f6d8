"""Labels as plain data, as a configuration file has them, and back."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, get_type_hints

import msgspec

from martlet.errors import InvalidInput
from martlet.learn.labels.binary import Binary
from martlet.learn.labels.delayed import ESDFM, FNC, FNW, DelayedFeedback, Wait
from martlet.learn.labels.kinds import Label
from martlet.learn.labels.multi_class import MultiClass
from martlet.learn.labels.multi_task import MultiTask
from martlet.learn.labels.outcomes import Events, Outcome
from martlet.learn.labels.regression import Regression

T = TypeVar("T")
_METHODS: Final[Mapping[str, Callable[..., DelayedFeedback]]] = {"wait": Wait, "fnw": FNW, "fnc": FNC, "es-dfm": ESDFM}
_KINDS: Final[Mapping[str, Callable[..., Label]]] = {
    "binary": Binary,
    "regression": Regression,
    "multi-class": MultiClass,
}
_MADE_BEFORE: Final = ("event", "delayed")
_ALWAYS: Final = ("event", "window", "explicit", "threshold")


def label_of(plain: Mapping[str, Any]) -> Label:
    """A label from plain data.

    `kind` is binary (the default), regression, multi-class, or multi-task, whose `labels` are labels by name. The rest
    are the fields of that kind. `event` is a type, or a list of types and of outcomes with their fields; `delayed` is
    the name of a method (wait, fnw, fnc, es-dfm) or its fields with the name as `method`.

    >>> label_of({"event": ["click", {"type": "purchase", "weight": 4}], "window": "1d", "delayed": "fnw"}).window_us
    86400000000

    Raises:
        InvalidInput: something is wrong; the message says what.
    """
    fields = dict(plain)
    kind = fields.pop("kind", "binary")
    if kind == "multi-task":
        return MultiTask({name: _single(name, one) for name, one in dict(fields.pop("labels", {})).items()})
    if kind not in _KINDS:
        raise InvalidInput(f"a label's kind is one of {', '.join(_KINDS)}, multi-task, not {kind!r}")
    if "event" in fields:
        fields["event"] = _events(fields["event"])
    if "delayed" in fields:
        fields["delayed"] = _method(fields["delayed"])
    return _made(_KINDS[kind], fields, f"label of kind {kind}")


def plain_label(label: Label) -> dict[str, Any]:
    """A label as plain data: what `label_of` reads. Fields later than the first release stand there if they say more.

    The digest of a lineage's settings is taken of it, so a label that was there before keeps its digest.
    """
    if isinstance(label, MultiTask):
        return {"kind": "multi-task", "labels": {name: plain_label(one) for name, one in label.labels.items()}}
    kind = next(name for name, made in _KINDS.items() if made is type(label))
    plain: dict[str, Any] = {} if kind == "binary" else {"kind": kind}
    for name in label.__dataclass_fields__:
        value, default = getattr(label, name), label.__dataclass_fields__[name].default
        if value != default or (kind == "binary" and name in _ALWAYS):
            plain[name] = _plain_field(value)
    return plain


def _plain_field(value: object) -> object:
    for name, method in _METHODS.items():
        if type(value) is method:
            return {"method": name, **msgspec.to_builtins(value)}
    return msgspec.to_builtins(value)


def _single(name: str, plain: Mapping[str, Any]) -> Binary | Regression | MultiClass:
    label = label_of(plain)
    if isinstance(label, MultiTask):
        raise InvalidInput(f"task {name!r} cannot have tasks of its own")
    return label


def _events(plain: object) -> Events:
    if isinstance(plain, str):
        return plain
    listed = [plain] if isinstance(plain, Mapping) else plain
    if not isinstance(listed, list | tuple):
        raise InvalidInput(f"event is a type of outcomes, or a list of them, not {plain!r}")
    return tuple(one if isinstance(one, str) else _made(Outcome, one, "outcome") for one in listed)


def _method(plain: object) -> DelayedFeedback:
    fields = {"method": plain} if isinstance(plain, str) else dict(plain) if isinstance(plain, Mapping) else {}
    name = fields.pop("method", None)
    if name not in _METHODS:
        raise InvalidInput(f"delayed is one of {', '.join(_METHODS)}, not {plain!r}")
    return _made(_METHODS[name], fields, f"method {name}")


def _made(kind: Callable[..., T], fields: Mapping[str, Any], what: str) -> T:
    """Checks names and types of the fields; the constructor checks their values."""
    hints = get_type_hints(kind)
    unknown = sorted(set(fields) - set(hints))
    if unknown:
        raise InvalidInput(f"{what}: there is no field {unknown[0]!r}; there are {', '.join(hints)}")
    values = {name: _converted(name, value, hints[name], what) for name, value in fields.items()}
    try:
        return kind(**values)
    except TypeError as error:  # a field is missing
        raise InvalidInput(f"{what}: {error}") from error


def _converted(name: str, value: object, hint: Any, what: str) -> object:
    """Fields that are labels' values already stay; others must be of their type."""
    try:
        return value if name in _MADE_BEFORE else msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{what}: {name}: {error}") from error
