"""A copy of a network whose nn.Embedding layers are something else: the rows live in Martlet's table."""

import copy
from collections.abc import Callable

import torch
from torch import nn

from martlet.errors import InvalidInput


class RowsIn(nn.Module):
    """Stands for an nn.Embedding where rows come in instead of ids: gives them back."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """The rows."""
        return rows


def embeddings_of(net: nn.Module) -> dict[str, nn.Embedding]:
    """The nn.Embedding layers by the name under which the network holds them first.

    Raises:
        InvalidInput: a layer that cannot work here.
    """
    layers: dict[str, nn.Embedding] = {}
    for name, layer in net.named_modules():
        if isinstance(layer, nn.EmbeddingBag):
            raise InvalidInput(f"layer {name!r} is an nn.EmbeddingBag: use nn.Embedding, and IdList(pool=...)")
        if not isinstance(layer, nn.Embedding):
            continue
        if layer.max_norm is not None or layer.padding_idx is not None:
            raise InvalidInput(f"layer {name!r}: nn.Embedding with max_norm or padding_idx; Martlet pads lists itself")
        layers[name] = layer
    return layers


def with_embeddings_replaced(net: nn.Module, replacement: Callable[[str, nn.Embedding], nn.Module]) -> nn.Module:
    """A deep copy of the network; `replacement` says what stands for each nn.Embedding. Shared layers stay shared."""
    layers = embeddings_of(net)
    if "" in layers:
        raise InvalidInput("the network is a lone nn.Embedding: put it into an nn.Module")
    made = {id(layer): replacement(name, layer) for name, layer in layers.items()}
    # deepcopy takes what its memo holds for the original: rows are replaced wherever the layer is referred to.
    return copy.deepcopy(net, dict(made))


def with_rows_in(net: nn.Module) -> nn.Module:
    """A deep copy that takes rows in place of ids."""
    return with_embeddings_replaced(net, lambda _name, _layer: RowsIn())
