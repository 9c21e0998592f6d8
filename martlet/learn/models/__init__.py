"""The built-in models. They go through the same door as a user's own."""

from martlet.learn.models.build import model_of
from martlet.learn.models.dcn_v2 import DCNv2
from martlet.learn.models.deep_fm import DeepFM
from martlet.learn.models.ensemble import Ensemble
from martlet.learn.models.linear_model import Linear, linear

__all__ = ["DCNv2", "DeepFM", "Ensemble", "Linear", "linear", "model_of"]
