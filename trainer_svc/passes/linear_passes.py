"""A linear model computed in a few compiled loops over its weights: no torch, no graph of operations."""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from martlet.feature_spec import Feature, FeatureBlock, FeatureKind, FeatureSpec
from martlet.learn import Linear, Model
from martlet.normalising import LOG, signed_log
from trainer_svc.batch import Batch
from trainer_svc.dense_inputs import list_counts, numbers_of
from trainer_svc.dense_model import MAX_DEVIATIONS, DenseModel
from trainer_svc.id_lookup import TableLookup
from trainer_svc.optimizers.flat_parameters import FlatParameters
from trainer_svc.passes.linear_losses import SummedLoss
from trainer_svc.passes.port import Passed
from trainer_svc.passes.weighing import LabelImportance, weights_of
from trainer_svc.table.compiling import kernel

Floats = npt.NDArray[np.float32]
_WEIGHTS: Final = "net.fields.numbers"
_BIAS: Final = "net.bias"


def is_linear(model: Model) -> bool:
    """Whether `LinearPasses` can compute its network."""
    return type(model.net) is Linear and all(f.kind is not FeatureKind.VECTOR for f in model.spec.features)


class LinearPasses:
    """See `Passes`; for `martlet.learn.Linear` and the losses of `linear_losses`.

    Attributes:
        learns_as_it_scores: always.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        lookups: list[TableLookup],
        dense: DenseModel,
        parameters: FlatParameters,
        loss: SummedLoss,
        importance: LabelImportance | None = None,
    ) -> None:
        self.learns_as_it_scores = True
        self._importance = importance
        self._spec = spec
        self._features = [feature for lookup in lookups for feature in lookup.features]
        self._lengths = np.array([feature.max_len for feature in self._features], np.int64)
        numbers = [feature for feature in spec.features if not feature.is_id]
        self._numbers = tuple(feature.name for feature in numbers)
        self._logs = np.array([LOG in feature.normalise for feature in numbers], np.bool_)
        self._norms = dense.numbers
        self._normalised = [self._numbers.index(name) for name in dense.numbers.running]
        self._parameters = parameters
        self._loss = loss
        self._shifted = dense.head.shifted
        self._named = dict(dense.named_parameters())

    def score(self, block: FeatureBlock, gathered: list[torch.Tensor]) -> Floats:
        """Logits."""
        return self._logits(gathered, self._shares(block), self._values(block))

    def learn(self, batch: Batch, gathered: list[torch.Tensor]) -> Passed:
        """Forward and backward."""
        shares, values = self._shares(batch.block), self._values(batch.block)
        logits, slopes = self._logits(gathered, shares, values), np.empty(batch.size, np.float32)
        offsets = batch.fitted_offsets(self._shifted)
        fitted = logits if offsets is None else logits + offsets
        total = self._loss(fitted, batch.labels, weights_of(batch, logits, self._importance), slopes)
        self._parameters.gradients.zero_()
        add_dense_gradients(slopes, values, self._gradient(_WEIGHTS), self._gradient(_BIAS))
        gradients = [np.empty(tuple(rows.shape), np.float32) for rows in gathered]
        for gradient in gradients:
            row_gradients(slopes, self._lengths, shares, gradient[:, 0])
        return Passed(logits, total, gradients)

    def undo(self) -> None:
        """Nothing but gradients changes."""

    def _logits(self, gathered: list[torch.Tensor], shares: Floats, values: Floats) -> Floats:
        logits = np.full(values.shape[0], self._weight(_BIAS)[0], np.float32)
        for rows in gathered:  # one table, of width 1, or none
            add_rows(rows.numpy()[:, 0], self._lengths, shares, logits)
        add_numbers(values, self._weight(_WEIGHTS), logits)
        return logits

    def _shares(self, block: FeatureBlock) -> Floats:
        """What a row of each example and feature counts: float32[n, features], or [0, features] if all count 1."""
        if (self._lengths == 1).all():
            return np.empty((0, len(self._features)), np.float32)
        return np.stack([self._share(block, feature) for feature in self._features], 1)

    def _share(self, block: FeatureBlock, feature: Feature) -> Floats:
        if feature.kind is FeatureKind.ID or feature.pool == "sum":
            return np.ones(block.rows, np.float32)
        counts = list_counts(self._spec, block, feature).astype(np.float32)
        return np.asarray(1 / np.maximum(counts, 1), np.float32)

    def _values(self, block: FeatureBlock) -> Floats:
        """The numbers as the graph normalises them: float32[n, k]."""
        values = numbers_of(self._spec, block, self._numbers)
        if self._logs.any():
            values[:, self._logs] = signed_log(values[:, self._logs])
        if self._normalised:
            distance = (values[:, self._normalised] - self._norms.mean.numpy()) * self._norms.scale.numpy()
            values[:, self._normalised] = np.clip(distance, -MAX_DEVIATIONS, MAX_DEVIATIONS)
        return np.where(np.isnan(values), np.float32(0), values)

    def _weight(self, name: str) -> Floats:
        parameter = self._named.get(name)
        return np.zeros(0, np.float32) if parameter is None else parameter.detach().numpy().reshape(-1)

    def _gradient(self, name: str) -> Floats:
        parameter = self._named.get(name)
        if parameter is None or parameter.grad is None:
            return np.zeros(0, np.float32)
        return parameter.grad.numpy().reshape(-1)


@kernel
def add_rows(rows: Floats, lengths: npt.NDArray[np.int64], shares: Floats, logits: Floats) -> None:
    """Adds the rows of each feature, which stand one feature behind another, example by example in each."""
    n, at = logits.shape[0], 0
    for feature in range(lengths.shape[0]):
        for i in range(n):
            total = np.float32(0.0)
            for _ in range(lengths[feature]):
                total += rows[at]
                at += 1
            logits[i] += total * shares[i, feature] if shares.shape[0] else total


@kernel
def add_numbers(values: Floats, weights: Floats, logits: Floats) -> None:
    """Adds the weighted numbers of each example."""
    for i in range(logits.shape[0]):
        for column in range(weights.shape[0]):
            logits[i] += values[i, column] * weights[column]


@kernel
def row_gradients(slopes: Floats, lengths: npt.NDArray[np.int64], shares: Floats, gradients: Floats) -> None:
    """Each row's gradient, in the order of `add_rows`. Padding gets one, too; its row never moves."""
    n, at = slopes.shape[0], 0
    for feature in range(lengths.shape[0]):
        for i in range(n):
            slope = slopes[i] * shares[i, feature] if shares.shape[0] else slopes[i]
            for _ in range(lengths[feature]):
                gradients[at] = slope
                at += 1


@kernel
def add_dense_gradients(slopes: Floats, values: Floats, weights: Floats, bias: Floats) -> None:
    """Adds to the gradients of the numbers' weights and of the bias."""
    for i in range(slopes.shape[0]):
        bias[0] += slopes[i]
        for column in range(weights.shape[0]):
            weights[column] += slopes[i] * values[i, column]
