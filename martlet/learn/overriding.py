"""Settings that override what a model's code says: its label, and how dense weights and rows learn."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final, get_type_hints

import msgspec

from martlet.errors import InvalidInput
from martlet.learn.labels import Label, label_of, plain_label
from martlet.learn.model import Model
from martlet.learn.optimizers import (
    FTRL,
    SGD,
    AdaGrad,
    Adam,
    Clip,
    ClipNorm,
    ClipValue,
    Cosine,
    Exponential,
    LazyAdam,
    Momentum,
    OnPlateau,
    RMSProp,
    RowAdaGrad,
    RowFTRL,
    RowMomentum,
    RowRMSProp,
    RowSGD,
    RowWiseAdaGrad,
    StepDecay,
    WarmUp,
)

Plain = Mapping[str, Any]
_DENSE: Final[Mapping[str, type]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
    "adam": Adam,
    "ftrl": FTRL,
}
_ROWS: Final[Mapping[str, type]] = {
    "sgd": RowSGD,
    "momentum": RowMomentum,
    "adagrad": RowAdaGrad,
    "row-wise-adagrad": RowWiseAdaGrad,
    "rmsprop": RowRMSProp,
    "adam": LazyAdam,
    "ftrl": RowFTRL,
}
_RATES: Final[Mapping[str, type]] = {
    "step-decay": StepDecay,
    "exponential": Exponential,
    "cosine": Cosine,
    "warm-up": WarmUp,
    "on-plateau": OnPlateau,
}
_CLIPS: Final[Mapping[str, type]] = {"norm": ClipNorm, "value": ClipValue}
_SECTION: Final = "learning"


def overridden(model: Model, settings: Mapping[str, Any]) -> Model:
    """The model with other settings of learning; the same one if there are none.

    Args:
        model: what the code says.
        settings: `optimizer` and `rows` have the fields of an optimizer. Without `kind` they change the model's own;
            with one (sgd, momentum, adagrad, rmsprop, adam, ftrl; of rows row-wise-adagrad too) they are all of it that
            is no default. `rate` is a number, or a schedule with its `kind` (step-decay, exponential, cosine, warm-up,
            on-plateau); `clip` is {norm: 1.0} or {value: 0.1}. `label` has the fields of `martlet.learn.label_of`, over
            those of the model's label unless it is of another kind. Other entries are not looked at.

    Raises:
        InvalidInput: names the setting.
    """
    label, dense, rows = (dict(settings.get(name) or {}) for name in ("label", "optimizer", "rows"))
    if not (label or dense or rows):
        return model
    return Model(
        model.name,
        model.net,
        inputs=model.inputs,
        label=_label(model.label, label) if label else model.label,
        dense=_optimizer(model.dense, dense, _DENSE, f"{_SECTION}.optimizer") if dense else model.dense,
        rows=_optimizer(model.rows, rows, _ROWS, f"{_SECTION}.rows") if rows else model.rows,
        score=model.head.fusion,
    )


def _label(own: Label, plain: Plain) -> Label:
    before = plain_label(own)
    same = plain.get("kind", before.get("kind", "binary")) == before.get("kind", "binary")
    try:
        return label_of({**before, **plain} if same else plain)
    except InvalidInput as error:
        raise InvalidInput(f"bad setting: {_SECTION}.label: {error}") from error


def _optimizer(own: Any, plain: dict[str, Any], kinds: Mapping[str, type], where: str) -> Any:
    kind = plain.pop("kind", None)
    if kind is None:
        names = {made: name for name, made in kinds.items()}
        return _made(type(own), plain, where, f"{names[type(own)]}, the model's own,", own)
    return _made(_kind(kind, kinds, where), plain, where, kind)


def _made(cls: type, plain: Plain, where: str, kind: str, own: Any = None) -> Any:
    """An object of the class with these fields, the others as in `own` or by default."""
    known = [field.name for field in fields(cls)]
    for name in plain:
        if name not in known:
            raise InvalidInput(f"bad setting: {where}.{name}: {kind} has no such field (known: {', '.join(known)})")
    hints = get_type_hints(cls)
    values = {name: _value(name, value, hints[name], f"{where}.{name}") for name, value in plain.items()}
    try:
        return cls(**values) if own is None else replace(own, **values)
    except (InvalidInput, TypeError) as error:
        raise InvalidInput(f"bad setting: {where}: {error}") from error


def _value(name: str, value: Any, hint: Any, where: str) -> Any:
    if name == "clip":
        return _clip(value, where)
    if isinstance(value, Mapping) and name in ("rate", "then"):
        plain = dict(value)
        kind = plain.pop("kind", None)
        return _made(_kind(kind, _RATES, where), plain, where, str(kind))
    try:
        # Not strict: YAML 1.1 takes 1e-5 for a text.
        return msgspec.convert(value, float if name in ("rate", "then") else hint, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"bad setting: {where}: {error}") from error


def _clip(value: Any, where: str) -> Clip | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or len(value) != 1:
        raise InvalidInput(f"bad setting: {where}: write {{norm: 1.0}} or {{value: 0.1}}, not {value!r}")
    ((kind, limit),) = value.items()
    clip: Clip = _made(_kind(kind, _CLIPS, where), {"limit": limit}, where, str(kind))
    return clip


def _kind(kind: object, kinds: Mapping[str, type], where: str) -> type:
    if kind not in kinds:
        raise InvalidInput(f"bad setting: {where}: kind {kind!r} is none of {', '.join(kinds)}")
    return kinds[str(kind)]
