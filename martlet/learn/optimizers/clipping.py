"""Gradient clipping. Of the dense weights it sees the batch's mean gradient; of rows each row's summed gradient alone.

Clipping comes before l1, l2 and weight decay, which are no part of the data's gradient.
"""

from dataclasses import dataclass

from martlet.learn.optimizers.checks import positive


@dataclass(frozen=True, slots=True)
class ClipNorm:
    """A gradient longer than `limit` (Euclidean norm) is shortened to it; its direction stays (Pascanu et al. 2013).

    Of the dense weights it is the norm of all together, as `torch.nn.utils.clip_grad_norm_` takes it; of a row its own.
    """

    limit: float

    def __post_init__(self) -> None:
        positive(self, limit=self.limit)


@dataclass(frozen=True, slots=True)
class ClipValue:
    """Every component is brought into [-limit, limit]."""

    limit: float

    def __post_init__(self) -> None:
        positive(self, limit=self.limit)


Clip = ClipNorm | ClipValue
