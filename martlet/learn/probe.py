"""One run of a network on made-up inputs tells which input goes to which nn.Embedding, and what cannot work.

Inputs of the network are called what the model's `inputs` call them. In the run every nn.Embedding is replaced by a
recorder, and each torch function that gets an id is looked at: an id may only go to an nn.Embedding, as it is.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, resolve_name

from martlet.errors import InvalidInput
from martlet.feature_encoding import MASK_SUFFIX
from martlet.learn.heads import Head
from martlet.learn.inputs import IdInput, IdList, Input, Vector
from martlet.learn.layer_calls import calls_of, first_to_part
from martlet.learn.rows_in import with_embeddings_replaced, with_rows_in

_ROWS: Final = 3
# Reading these of an id tensor tells nothing of the ids.
_METADATA: Final = ("shape", "size", "device", "dim", "ndim", "is_cuda", "layout", "__len__")


@dataclass(frozen=True, slots=True)
class Probe:
    """What the run found.

    Attributes:
        layers: the nn.Embedding's name, by id input.
        widths: its columns, by id input.
        weights: parameters and buffers that scoring reads, by their names in the network.
    """

    layers: dict[str, str]
    widths: dict[str, int]
    weights: tuple[str, ...]


def probe(net: nn.Module, inputs: Mapping[str, Input], head: Head) -> Probe:
    """Runs the network in both forms and checks that all runs give the same, and what the head wants.

    Raises:
        InvalidInput: the network cannot work; the message names the layer or the input.
    """
    _check_parameters(net, inputs)
    values = _values(inputs)
    ids = {name: values[name] for name, kind in inputs.items() if isinstance(kind, IdInput)}
    watch = _Watch(ids)
    recording = with_embeddings_replaced(net, watch.recorder).eval()
    watch.follow(recording)
    with torch.no_grad(), watch:
        expected = _run(recording, values, watch, head)
        again = _run(recording, values, watch, head)
    rows = {name: watch.rows[name] for name in ids if name in watch.rows}
    if not torch.equal(expected, again):
        place = _unsteady_layer(net, {**values, **rows})
        raise InvalidInput(f"{place} gives other numbers for the same inputs the second time: it must keep no state")
    _check_all_used(values, watch)
    with torch.no_grad():
        actual = head.joined(with_rows_in(net).eval()(**{**values, **rows}))
    if not torch.equal(expected, actual):
        raise InvalidInput("the network looks at the shape of ids: it must only pass them to nn.Embedding")
    return Probe(dict(watch.layers), {name: row.shape[-1] for name, row in rows.items()}, watch.weights_used(recording))


def _unsteady_layer(net: nn.Module, values: Mapping[str, torch.Tensor]) -> str:
    """The layer that gives something else the second time, for a message."""
    steady = with_rows_in(net).eval()
    one, other = (calls_of(steady, lambda layer: layer(**values)) for _ in range(2))
    return first_to_part(one, other) or "the network"


class _Recorder(nn.Module):
    """Stands for an nn.Embedding: notes which input comes and gives made-up rows, the same ones for the same input."""

    def __init__(self, name: str, width: int, watch: "_Watch") -> None:
        super().__init__()
        self.embedding_name = name
        self.width = width
        self.note: Callable[[str, int, torch.Tensor], torch.Tensor] = watch.note

    @property
    def weight(self) -> torch.Tensor:
        raise InvalidInput(
            f"layer {self.embedding_name!r}: nn.Embedding.weight is used, but the rows live in Martlet's table; "
            f"use an nn.Parameter for weights that are no rows of ids"
        )

    def __deepcopy__(self, memo: dict[int, object]) -> "_Recorder":
        return self

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.note(self.embedding_name, self.width, ids)


class _Watch(TorchFunctionMode):
    """Sees every torch function of the run."""

    def __init__(self, ids: Mapping[str, torch.Tensor]) -> None:
        super().__init__()
        self.layers: dict[str, str] = {}
        self.rows: dict[str, torch.Tensor] = {}
        self.seen: set[int] = set()
        self._ids = ids
        self._stack: list[str] = []
        self._generator = torch.Generator().manual_seed(1)

    def recorder(self, name: str, layer: nn.Embedding) -> nn.Module:
        return _Recorder(name, layer.embedding_dim, self)

    def follow(self, net: nn.Module) -> None:
        """Keeps track of the layer that is at work, for messages."""
        for name, layer in net.named_modules():
            layer.register_forward_pre_hook(self._enter(name, type(layer).__name__))
            layer.register_forward_hook(self._leave)

    @property
    def place(self) -> str:
        """The layer at work."""
        return self._stack[-1] if self._stack else "the network"

    def note(self, layer: str, width: int, ids: torch.Tensor) -> torch.Tensor:
        name = next((name for name, tensor in self._ids.items() if tensor is ids), None)
        if name is None:
            raise InvalidInput(
                f"layer {layer!r}: nn.Embedding gets something computed; it must get one of the id inputs as it is"
            )
        if self.layers.setdefault(name, layer) != layer:
            raise InvalidInput(
                f"input {name!r} goes to two layers, {self.layers[name]!r} and {layer!r}: "
                f"use one nn.Embedding that is as wide as both, and cut its rows"
            )
        if name not in self.rows:
            self.rows[name] = torch.randn((*ids.shape, width), generator=self._generator)
        return self.rows[name]

    def weights_used(self, net: nn.Module) -> tuple[str, ...]:
        named = [*net.named_parameters(), *net.named_buffers()]
        return tuple(name for name, tensor in named if id(tensor) in self.seen)

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        metadata = _is_metadata(func)
        for tensor in _tensors([*args, *(kwargs or {}).values()]):
            if not metadata:
                self._look_at(tensor, func)
        return func(*args, **(kwargs or {}))

    def _look_at(self, tensor: torch.Tensor, func: Any) -> None:
        for name, ids in self._ids.items():
            if tensor is ids:
                what = resolve_name(func) or getattr(func, "__name__", "a function")
                raise InvalidInput(
                    f"{self.place} computes on the ids of input {name!r} ({what}); pass it to nn.Embedding"
                )
        self.seen.add(id(tensor))

    def _enter(self, name: str, kind: str) -> Callable[[nn.Module, object], None]:
        place = f"layer {name!r} ({kind})" if name else f"the network ({kind})"
        return lambda _layer, _args: self._stack.append(place)

    def _leave(self, _layer: nn.Module, _args: object, _output: object) -> None:
        self._stack.pop()


def _run(net: nn.Module, values: Mapping[str, torch.Tensor], watch: _Watch, head: Head) -> torch.Tensor:
    try:
        result = net(**values)
    except InvalidInput:
        raise
    except Exception as error:
        raise InvalidInput(f"{watch.place} fails on a batch of {_ROWS}: {error}") from error
    if isinstance(result, torch.Tensor):
        _check_output(result, head)
    joined = head.joined(result)
    _check_output(joined, head)
    return joined


def _values(inputs: Mapping[str, Input]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    values: dict[str, torch.Tensor] = {}
    for name, kind in inputs.items():
        if not isinstance(kind, IdInput):
            size = kind.width if isinstance(kind, Vector) else 1
            values[name] = torch.randn((_ROWS, size), generator=generator)
        elif isinstance(kind, IdList) and not kind.pool:
            values[name] = torch.randint(1, 1 << 40, (_ROWS, kind.max_len), generator=generator)
            values[name + MASK_SUFFIX] = torch.ones(_ROWS, kind.max_len)
        else:
            values[name] = torch.randint(1, 1 << 40, (_ROWS,), generator=generator)
    return values


def _check_parameters(net: nn.Module, inputs: Mapping[str, Input]) -> None:
    expected = list(_values(inputs))
    parameters = inspect.signature(net.forward).parameters
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    named = [name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_KEYWORD]
    lacking = [name for name in expected if name not in named and not open_ended]
    if lacking:
        raise InvalidInput(f"forward must take the inputs {', '.join(map(repr, lacking))}")
    extra = [name for name in named if name not in expected and parameters[name].default is inspect.Parameter.empty]
    if extra:
        raise InvalidInput(f"forward takes {', '.join(map(repr, extra))}, which the model's inputs do not name")


def _check_output(output: torch.Tensor, head: Head) -> None:
    shapes = {(_ROWS,), (_ROWS, 1)} if head.columns == 1 else {(_ROWS, head.columns)}
    if output.dtype != torch.float32 or tuple(output.shape) not in shapes:
        shape = ["B" if size == _ROWS and axis == 0 else size for axis, size in enumerate(output.shape)]
        wanted = "logits of shape [B] or [B, 1]" if head.columns == 1 else head.wanted
        raise InvalidInput(f"the network must give float32 {wanted}, not {output.dtype} {shape}")


def _check_all_used(values: Mapping[str, torch.Tensor], watch: _Watch) -> None:
    for name, tensor in values.items():
        if name not in watch.layers and id(tensor) not in watch.seen:
            raise InvalidInput(f"input {name!r} is never used by the network")


def _is_metadata(func: Any) -> bool:
    name = resolve_name(func) or ""
    return any(name in (f"torch.Tensor.{word}", f"torch.Tensor.{word}.__get__") for word in _METADATA)


def _tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)
        elif isinstance(value, dict):
            yield from _tensors(value.values())
