"""A model of a built-in network, from its inputs."""

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

from torch import nn

from martlet.errors import InvalidInput
from martlet.learn.fusion import Fusion
from martlet.learn.heads import head_of
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
    score: Fusion | None = None,
    **settings: Any,
) -> Model:
    """A model whose network is `network(inputs, **settings)`, such as `DeepFM` with `dim=16`.

    It starts with the same weights in every process. For a label of several classes or tasks the network is given
    `outputs`, the number of logits.

    Raises:
        InvalidInput: see `Model`.
    """
    columns = head_of(label, score).columns
    if columns > 1:
        if "outputs" not in signature(network).parameters:
            raise InvalidInput(f"{network.__name__} gives one logit; this label wants {columns}")
        settings = {"outputs": columns, **settings}
    return Model(
        name, lambda: network(inputs, **settings), inputs=inputs, label=label, dense=dense, rows=rows, score=score
    )
