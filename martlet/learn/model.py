"""A model: a network, what it reads, what it learns, and how."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import torch
from torch import nn

from martlet.errors import InvalidInput
from martlet.feature_encoding import ITEM_ID, MASK_SUFFIX
from martlet.feature_spec import Feature, FeatureKind, FeatureSpec, Side
from martlet.keys import space_salt
from martlet.learn.fusion import Fusion
from martlet.learn.heads import Head, head_of
from martlet.learn.inputs import Buckets, IdInput, IdList, Input, Number, Text, Vector, seconds
from martlet.learn.objective import Label
from martlet.learn.optimizers import Adam, Dense, Rows, RowWiseAdaGrad
from martlet.learn.probe import Probe, probe
from martlet.signature import LOGIT, ROW_OF_USER, SCORE

SEED: Final = 20_220_916
_RESERVED: Final = frozenset({LOGIT, SCORE, ROW_OF_USER})
_ITEM_PREFIX: Final = "item."


class ModelTable(NamedTuple):
    """The id features of one width; their rows live in one table."""

    name: str
    width: int
    features: tuple[str, ...]


class Model:
    """What `martlet train` takes. Immutable; the network is read, never changed.

    Args:
        name: what callers call it.
        net: the network, or a function of no arguments that makes it: that is called with torch's random numbers
            seeded, so that it starts with the same weights in every process. (`martlet.learn.load` imports modules so,
            too.)
        inputs: for each parameter of the network's `forward` what it reads.
        dense: how the dense weights learn; Adam unless told otherwise.
        rows: how the rows of ids learn; row-wise AdaGrad unless told otherwise.
        score: of several tasks, how their scores become the one that ranks; the main task's unless told otherwise.

    Raises:
        InvalidInput: something cannot work; the message names the layer or the input.
    """

    def __init__(
        self,
        name: str,
        net: nn.Module | Callable[[], nn.Module],
        *,
        inputs: Mapping[str, Input],
        label: Label,
        dense: Dense | None = None,
        rows: Rows | None = None,
        score: Fusion | None = None,
    ) -> None:
        if not name:
            raise InvalidInput("a model needs a name")
        _check_names(inputs)
        self.name = name
        self.net = net if isinstance(net, nn.Module) else seeded(net)
        self.label = label
        self.dense: Dense = dense or Adam()
        self.rows: Rows = rows or RowWiseAdaGrad()
        self.inputs = dict(inputs)
        self.head = head_of(label, score)
        _check_outputs(inputs, self.head)
        found = probe(self.net, inputs, self.head)
        self.weights = found.weights
        _check_weights(self.net, self.weights, set(found.layers.values()))
        self.spec = _spec(inputs, found)
        self.tables = _tables(self.spec)
        self.budgets = _budgets(inputs, self.spec)

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {type(self.net).__name__}, {len(self.spec.features)} inputs)"


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """Calls `make` with torch's random numbers seeded, and leaves them as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return make()


def _check_names(inputs: Mapping[str, Input]) -> None:
    if not inputs:
        raise InvalidInput("a model needs inputs")
    masks = {name + MASK_SUFFIX for name, kind in inputs.items() if isinstance(kind, IdList)}
    for name in inputs:
        if not name.isidentifier() or name in _RESERVED or name in masks:
            raise InvalidInput(f"an input cannot be called {name!r}")


def _check_outputs(inputs: Mapping[str, Input], head: Head) -> None:
    taken = sorted(inputs.keys() & {output.name for output in head.more})
    if taken:
        raise InvalidInput(f"an input cannot be called {taken[0]!r}, as an output of this label is")


def _check_weights(net: nn.Module, used: tuple[str, ...], embeddings: set[str]) -> None:
    rows = {f"{name}.weight" for name in embeddings}
    for name, parameter in net.named_parameters():
        if name in rows:
            continue
        if name not in used:
            raise InvalidInput(f"parameter {name!r} is never used by the network")
        if parameter.dtype != torch.float32:
            raise InvalidInput(f"parameter {name!r} is {parameter.dtype}; parameters must be float32")
    for name, buffer in net.named_buffers():
        if name in used and buffer.dtype not in {torch.float32, torch.int64}:
            raise InvalidInput(f"buffer {name!r} is {buffer.dtype}; buffers must be float32 or int64")


def _spec(inputs: Mapping[str, Input], found: Probe) -> FeatureSpec:
    spaces = _spaces(inputs, found)
    ids = {name: kind for name, kind in inputs.items() if isinstance(kind, IdInput)}
    features = []
    for name, kind in inputs.items():
        side = Side.ITEM if kind.source == ITEM_ID or kind.source.startswith(_ITEM_PREFIX) else Side.USER
        if isinstance(kind, Number):
            features.append(Feature(name, kind.source, FeatureKind.NUMBER, side, normalise=kind.normalise))
            continue
        if isinstance(kind, Vector):
            size, normalise = kind.width, kind.normalise
            features.append(Feature(name, kind.source, FeatureKind.VECTOR, side, max_len=size, normalise=normalise))
            continue
        # A row belongs to its space, not to one of the inputs that use it: the strictest wish of them holds for all.
        shares = [other for peer, other in ids.items() if spaces[peer] == spaces[name]]
        listed = isinstance(kind, IdList | Text)
        features.append(
            Feature(
                name,
                kind.source,
                FeatureKind.ID_LIST if listed else FeatureKind.ID,
                side,
                space=spaces[name],
                width=found.widths[name],
                max_len=kind.max_len if isinstance(kind, IdList | Text) else 1,
                pool=kind.pool if isinstance(kind, IdList | Text) else "",
                min_count=max(other.min_count for other in shares),
                ttl_seconds=max(seconds(other.ttl) for other in shares),
                normalise=kind.normalise if isinstance(kind, Text | Buckets) else "",
            )
        )
    return FeatureSpec(tuple(features), {space: space_salt(space) for space in dict.fromkeys(spaces.values())})


def _budgets(inputs: Mapping[str, Input], spec: FeatureSpec) -> dict[str, int]:
    """The most rows of each key space that has such a limit: the least of what its inputs say."""
    budgets: dict[str, int] = {}
    for feature in spec.features:
        kind = inputs[feature.name]
        if isinstance(kind, IdInput) and kind.max_rows:
            budgets[feature.space] = min(kind.max_rows, budgets.get(feature.space, kind.max_rows))
    return budgets


def _spaces(inputs: Mapping[str, Input], found: Probe) -> dict[str, str]:
    """The key space of each id input: its layer's. Two layers of one width cannot share one: they would share rows."""
    of_layer: dict[str, str] = {}
    for layer in dict.fromkeys(found.layers.values()):
        named = [name for name in inputs if found.layers.get(name) == layer]
        wishes = dict.fromkeys(kind.space for kind in (inputs[name] for name in named) if isinstance(kind, IdInput))
        spaces = [space for space in wishes if space] or [named[0]]
        if len(spaces) > 1:
            raise InvalidInput(f"layer {layer!r} gets ids of the spaces {spaces}; inputs of one layer share one space")
        of_layer[layer] = spaces[0]
    taken: dict[tuple[str, int], str] = {}
    for name, layer in found.layers.items():
        space = of_layer[layer]
        other = taken.setdefault((space, found.widths[name]), layer)
        if other != layer:
            raise InvalidInput(f"layers {other!r} and {layer!r} both hold rows of space {space!r}: use one of them")
    return {name: of_layer[layer] for name, layer in found.layers.items()}


def _tables(spec: FeatureSpec) -> tuple[ModelTable, ...]:
    widths = dict.fromkeys(feature.width for feature in spec.features if feature.width)
    return tuple(
        ModelTable(f"t{width}", width, tuple(feature.name for feature in spec.features if feature.width == width))
        for width in sorted(widths)
    )
