"""The dense part of a model: rows, masks and numbers in, logits out. What is exported."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from martlet.feature_encoding import MASK_SUFFIX
from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec
from martlet.learn import Model
from martlet.learn.rows_in import with_rows_in
from martlet.normalising import LOG, RUNNING, signed_log
from trainer_svc.dense_inputs import numbers_of

MAX_DEVIATIONS: Final = 10.0
_NET: Final = "net."


def dense_input_names(spec: FeatureSpec) -> tuple[str, ...]:
    """The names of the dense part's inputs, in order."""
    names: list[str] = []
    for feature in spec.features:
        names.append(feature.name)
        if feature.kind is FeatureKind.ID_LIST and not feature.pool:
            names.append(feature.name + MASK_SUFFIX)
    return tuple(names)


class Numbers(nn.Module):
    """Normalises numbers inside the graph, so that serving does what the trainer does.

    Attributes:
        running: the features with running normalisation, in the spec's order; `plain`: the others.
        columns: of the running ones, vectors with all their components.

    Buffers: `mean` and `scale`, float32[columns]; `Moments` sets them.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, features: Sequence[Feature]) -> None:
        super().__init__()
        self._sizes = {feature.name: feature.max_len for feature in features}
        self._logs = {feature.name for feature in features if LOG in feature.normalise}
        self.running = tuple(feature.name for feature in features if RUNNING in feature.normalise)
        self.plain = tuple(feature.name for feature in features if feature.name not in self.running)
        self.columns = sum(self._sizes[name] for name in self.running)
        if self.running:
            self.register_buffer("mean", torch.zeros(self.columns))
            self.register_buffer("scale", torch.ones(self.columns))

    def forward(self, values: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Each number float32[B, 1], each vector float32[B, size], free of NaN."""
        ready: dict[str, torch.Tensor] = {}
        if self.running:
            distance = (self._joined(self.running, values) - self.mean) * self.scale
            ready |= self._split(self.running, distance.clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS))
        if self.plain:
            ready |= self._split(self.plain, self._joined(self.plain, values))
        return ready

    def observed(self, spec: FeatureSpec, block: FeatureBlock) -> npt.NDArray[np.float32]:
        """What the running moments are of: float32[n, columns]."""
        values = numbers_of(spec, block, self.running)
        logs = np.repeat([name in self._logs for name in self.running], [self._sizes[name] for name in self.running])
        if logs.any():
            values[:, logs] = signed_log(values[:, logs])
        return values

    def _joined(self, names: Sequence[str], values: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return torch.cat([_log(values[name]) if name in self._logs else values[name] for name in names], 1)

    def _split(self, names: Sequence[str], joined: torch.Tensor) -> dict[str, torch.Tensor]:
        whole = torch.where(torch.isnan(joined), 0.0, joined)
        ends = list(accumulate(self._sizes[name] for name in names))
        return {name: whole[:, end - self._sizes[name] : end] for name, end in zip(names, ends, strict=True)}


class DenseModel(nn.Module):
    """A model's network with rows for ids, behind the normalisation of its numbers.

    Attributes:
        input_names: what `forward` takes, in order.
        weight_names: the float32 parameters and buffers that scoring reads: a version's dense weights. They bear these
            names in the graph.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.spec = model.spec
        self.head = model.head
        self.net = with_rows_in(model.net)
        self.numbers = Numbers([feature for feature in model.spec.features if not feature.is_id])
        self.input_names = dense_input_names(model.spec)
        used = {_NET + name for name in model.weights}
        self.weight_names = tuple(
            name
            for name, tensor in self.tensors().items()
            if tensor.dtype == torch.float32 and (name in used or not name.startswith(_NET))
        )

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Logits: float32[B], or [B, columns] of the model's head."""
        named = dict(zip(self.input_names, inputs, strict=True))
        named |= self.numbers(named)
        return self.head.joined(self.net(**named))

    def tensors(self) -> dict[str, torch.Tensor]:
        """All parameters and buffers by name; a shared one once."""
        return dict([*self.named_parameters(), *self.named_buffers()])

    def weights(self) -> dict[str, npt.NDArray[np.float32]]:
        """Copies of the dense weights by name."""
        tensors = self.tensors()
        return {name: tensors[name].detach().numpy().copy() for name in self.weight_names}


class Moments:
    """Count, mean and sum of squared distances of each running column, in float64; missing values do not count."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self.values = np.zeros((3, numbers.columns), np.float64)

    @property
    def unknown(self) -> bool:
        """Whether there are such numbers, and none was ever observed."""
        return bool(self.values.shape[1]) and not self.values[0].any()

    def observe(self, values: npt.NDArray[np.float32]) -> None:
        """Adds what `Numbers.observed` gives, and sets the module's buffers."""
        if not self.values.shape[1]:
            return
        known = np.isfinite(values)
        exact = np.where(known, values, 0.0).astype(np.float64)
        count, mean, squares = self.values
        added = known.sum(0)
        batch_mean = exact.sum(0) / np.maximum(added, 1)
        batch_squares = (np.where(known, exact - batch_mean, 0.0) ** 2).sum(0)
        total = np.maximum(count + added, 1)
        distance = np.where(added > 0, batch_mean - mean, 0.0)
        self.values = np.stack(
            [
                count + added,
                mean + distance * added / total,
                squares + batch_squares + distance**2 * count * added / total,
            ]
        )
        self.apply()

    def apply(self) -> None:
        """Sets the module's buffers. A number that never varied keeps scale 1."""
        if not self.values.shape[1]:
            return
        count, mean, squares = self.values
        deviation = np.sqrt(squares / np.maximum(count, 1))
        steady = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-6)
        scale = np.where(steady, 1.0, 1.0 / np.where(steady, 1.0, deviation))
        with torch.no_grad():
            self._numbers.mean.copy_(torch.from_numpy(mean))
            self._numbers.scale.copy_(torch.from_numpy(scale))


def _log(values: torch.Tensor) -> torch.Tensor:
    """See `martlet.normalising.signed_log`. torch.log1p would be exported as log(1 + x), which rounds otherwise."""
    return torch.sign(values) * torch.log(1.0 + torch.abs(values))
