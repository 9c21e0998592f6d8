"""Which layer is to blame: what each layer of a network got and gave in a run, and where two runs part."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True, slots=True)
class LayerCall:
    """One layer at work.

    Attributes:
        name: in the network; "" is the network itself.
        args, kwargs: what it was called with.
        outputs: copies of the tensors among its results.
    """

    name: str
    layer: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[torch.Tensor, ...]

    @property
    def inputs(self) -> tuple[torch.Tensor, ...]:
        """The tensors among its arguments."""
        return tuple(tensors_in([*self.args, *self.kwargs.values()]))

    @property
    def place(self) -> str:
        """For a message."""
        kind = type(self.layer).__name__
        return f"layer {self.name!r} ({kind})" if self.name else f"the network's own forward ({kind})"


def calls_of(net: nn.Module, run: Callable[[nn.Module], object]) -> list[LayerCall]:
    """Runs the network and gives its layers' calls, in the order in which they ended: inner ones first."""
    calls: list[LayerCall] = []

    def noted(name: str) -> Callable[..., None]:
        def note(layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: object) -> None:
            copies = tuple(tensor.detach().clone() for tensor in tensors_in([output]))
            calls.append(LayerCall(name, layer, args, kwargs, copies))

        return note

    hooks = [layer.register_forward_hook(noted(name), with_kwargs=True) for name, layer in net.named_modules()]
    try:
        with torch.no_grad():
            run(net)
    finally:
        for hook in hooks:
            hook.remove()
    return calls


def first_to_part(
    one: Iterable[LayerCall],
    other: Iterable[LayerCall],
    same: Callable[[torch.Tensor, torch.Tensor], bool] = torch.equal,
) -> str:
    """The first layer that gives something else in the other run though it gets the same; "" if there is none."""
    for left, right in zip(one, other, strict=False):
        if left.name != right.name:
            break
        if _all(left.inputs, right.inputs, same) and not _all(left.outputs, right.outputs, same):
            return left.place
    return ""


def tensors_in(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    """The tensors in values, lists and dictionaries."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)
        elif isinstance(value, dict):
            yield from tensors_in(value.values())


def _all(
    left: tuple[torch.Tensor, ...],
    right: tuple[torch.Tensor, ...],
    same: Callable[[torch.Tensor, torch.Tensor], bool],
) -> bool:
    return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
