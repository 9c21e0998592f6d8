"""The public door for a user's own model: `import martlet.learn as ml`. Needs torch."""

from martlet.learn.inputs import Id, IdList, Input, Number
from martlet.learn.loading import load
from martlet.learn.model import Model, ModelTable
from martlet.learn.models import DCNv2, DeepFM, model_of
from martlet.learn.objective import Binary
from martlet.learn.optimizers import Adam, RowWiseAdaGrad

__all__ = [
    "Adam",
    "Binary",
    "DCNv2",
    "DeepFM",
    "Id",
    "IdList",
    "Input",
    "Model",
    "ModelTable",
    "Number",
    "RowWiseAdaGrad",
    "load",
    "model_of",
]
