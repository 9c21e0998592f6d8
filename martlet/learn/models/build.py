"""A model of a built-in network, from its inputs."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from martlet.learn.inputs import Input
from martlet.learn.model import Model
from martlet.learn.objective import Label
from martlet.learn.optimizers import Dense, Rows


def model_of(
    name: str,
    network: Callable[..., nn.Module],
    *,
    inputs: Mapping[str, Input],
    label: Label,
    dense: Dense | None = None,
    rows: Rows | None = None,
    **settings: Any,
) -> Model:
    """A model whose network is `network(inputs, **settings)`, such as `DeepFM` with `dim=16`.

    It starts with the same weights in every process.

    Raises:
        InvalidInput: see `Model`.
    """
    return Model(name, lambda: network(inputs, **settings), inputs=inputs, label=label, dense=dense, rows=rows)
