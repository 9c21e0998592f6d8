"""The optimizer of the dense weights: clipping, regularisation and a rule, on flat parameters."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch

from martlet.learn.optimizers import FTRL, ClipNorm, ClipValue, Dense
from trainer_svc.optimizers.flat_parameters import FlatParameters
from trainer_svc.optimizers.learning_rate import LearningRate
from trainer_svc.optimizers.rules import rule_of

_CLIP_EPSILON = 1e-6  # as torch.nn.utils.clip_grad_norm_ has it


class DenseOptimizer:
    """Steps flat parameters on their gradients. The same calls give the same bits."""

    def __init__(self, settings: Dense, parameters: FlatParameters) -> None:
        self._settings = settings
        self._parameters = parameters
        self._rule = rule_of(settings, parameters.values)
        self._rate = LearningRate(settings.rate)

    @torch.no_grad()
    def step(self, scale: float, loss: float) -> None:
        """One step on the gradients times `scale`; `loss` is the batch's mean loss before it. Uses the gradients up."""
        values, gradients = self._parameters.values, self._parameters.gradients.mul_(scale)
        self._clip(gradients)
        if not isinstance(self._settings, FTRL):
            self._regularise(values, gradients)
        self._rule.step(values, gradients, self._rate.current, self._rate.steps)
        self._rate.advance(loss)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """The rule's slots (not copies), step and rate."""
        slots: dict[str, npt.NDArray[np.generic]] = {name: slot.numpy() for name, slot in self._rule.slots.items()}
        return slots | self._rate.state()

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Takes a state over, bit for bit (copies)."""
        for name, slot in self._rule.slots.items():
            slot.copy_(torch.from_numpy(np.array(state[name])))
        self._rate.restore(state)

    def _clip(self, gradients: torch.Tensor) -> None:
        clip = self._settings.clip
        if isinstance(clip, ClipValue):
            gradients.clamp_(-clip.limit, clip.limit)
        elif isinstance(clip, ClipNorm):
            gradients.mul_((clip.limit / (gradients.norm() + _CLIP_EPSILON)).clamp(max=1.0))

    def _regularise(self, values: torch.Tensor, gradients: torch.Tensor) -> None:
        if self._settings.l2:
            gradients.add_(values, alpha=self._settings.l2)
        if self._settings.l1:
            gradients.add_(values.sign(), alpha=self._settings.l1)
