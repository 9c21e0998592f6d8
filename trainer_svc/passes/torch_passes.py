"""A model computed by torch: any network."""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from martlet.feature_encoding import MASK_SUFFIX
from martlet.feature_spec import FeatureBlock, FeatureKind, FeatureSpec
from martlet.learn.losses import Loss
from trainer_svc.batch import Batch
from trainer_svc.dense_inputs import dense_inputs, owned
from trainer_svc.dense_model import DenseModel
from trainer_svc.id_lookup import TableLookup
from trainer_svc.optimizers.flat_parameters import FlatParameters
from trainer_svc.passes.port import Passed
from trainer_svc.passes.weighing import LabelImportance, weights_of

Floats = npt.NDArray[np.float32]
_TRIAL_ROWS: Final = 5


class TorchPasses:
    """See `Passes`. Learning is in training mode unless the batch has one example: batch statistics need two.

    Attributes:
        learns_as_it_scores: see `Passes`.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        lookups: list[TableLookup],
        dense: DenseModel,
        parameters: FlatParameters,
        loss: Loss,
        importance: LabelImportance | None = None,
    ) -> None:
        self._importance = importance
        self._spec = spec
        self._lookups = lookups
        self._dense = dense
        self._parameters = parameters
        self._loss = loss
        self._shifted = dense.head.shifted
        self._buffers = list(dense.net.buffers())
        self._kept: list[torch.Tensor] = []
        self.learns_as_it_scores = _learns_as_it_scores(dense, spec)

    def score(self, block: FeatureBlock, gathered: list[torch.Tensor]) -> Floats:
        """Logits."""
        with torch.inference_mode():
            logits = self._dense(*dense_inputs(self._spec, self._lookups, block, gathered))
        return np.asarray(logits.numpy(), np.float32)

    def learn(self, batch: Batch, gathered: list[torch.Tensor]) -> Passed:
        """Forward and backward."""
        self._kept = [buffer.clone() for buffer in self._buffers]
        self._parameters.gradients.zero_()
        leaves = [rows.requires_grad_() for rows in gathered]
        if not self.learns_as_it_scores:  # switching the mode of every layer costs as much as a small layer
            self._dense.train(batch.size > 1)
        logits = self._dense(*dense_inputs(self._spec, self._lookups, batch.block, leaves))
        weights = weights_of(batch, logits.detach().numpy(), self._importance)
        offsets = batch.fitted_offsets(self._shifted)
        fitted = logits if offsets is None else logits + owned(offsets)
        total = self._loss.total(fitted, owned(batch.labels), owned(weights))
        total.backward()  # type: ignore[no-untyped-call]
        if not self.learns_as_it_scores:
            self._dense.eval()
        gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves]
        return Passed(logits.detach().numpy(), float(total.detach()), [gradient.numpy() for gradient in gradients])

    def undo(self) -> None:
        """Running statistics are as before the last `learn`."""
        for buffer, kept in zip(self._buffers, self._kept, strict=True):
            buffer.copy_(kept)


def _learns_as_it_scores(dense: DenseModel, spec: FeatureSpec) -> bool:
    """Tried on made-up inputs: training mode must draw no random number, move no buffer and give the same logits."""
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(_input_shape(name, spec), generator=generator) for name in dense.input_names]
    buffers = [buffer.clone() for buffer in dense.buffers()]
    random = torch.get_rng_state()
    with torch.no_grad():
        scored = dense.eval()(*inputs)
        learned = dense.train()(*inputs)
    dense.eval()
    same = torch.equal(random, torch.get_rng_state()) and torch.equal(scored, learned)
    for buffer, kept in zip(dense.buffers(), buffers, strict=True):
        same = same and torch.equal(buffer, kept)
        buffer.copy_(kept)
    return same


def _input_shape(name: str, spec: FeatureSpec) -> tuple[int, ...]:
    features = {feature.name: feature for feature in spec.features}
    if name not in features:
        return _TRIAL_ROWS, features[name.removesuffix(MASK_SUFFIX)].max_len
    feature = features[name]
    if feature.kind is FeatureKind.ID_LIST and not feature.pool:
        return _TRIAL_ROWS, feature.max_len, feature.width
    return _TRIAL_ROWS, feature.width if feature.is_id else feature.max_len
