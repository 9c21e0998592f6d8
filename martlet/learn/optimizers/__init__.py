"""How a model learns: the settings of its optimizers, of their rates and of clipping. The trainer has the code."""

from martlet.learn.optimizers.clipping import Clip, ClipNorm, ClipValue
from martlet.learn.optimizers.dense import FTRL, SGD, AdaGrad, Adam, Dense, Momentum, RMSProp
from martlet.learn.optimizers.rates import (
    Cosine,
    Exponential,
    OnPlateau,
    PlateauState,
    Rate,
    Schedule,
    StepDecay,
    WarmUp,
    rate_at,
)
from martlet.learn.optimizers.rows import (
    LazyAdam,
    RowAdaGrad,
    RowFTRL,
    RowMomentum,
    RowRMSProp,
    Rows,
    RowSGD,
    RowWiseAdaGrad,
)

__all__ = [
    "FTRL",
    "SGD",
    "AdaGrad",
    "Adam",
    "Clip",
    "ClipNorm",
    "ClipValue",
    "Cosine",
    "Dense",
    "Exponential",
    "LazyAdam",
    "Momentum",
    "OnPlateau",
    "PlateauState",
    "RMSProp",
    "Rate",
    "RowAdaGrad",
    "RowFTRL",
    "RowMomentum",
    "RowRMSProp",
    "RowSGD",
    "RowWiseAdaGrad",
    "Rows",
    "Schedule",
    "StepDecay",
    "WarmUp",
    "rate_at",
]
