"""From `module:NAME` to the model."""

import importlib
import sys
from pathlib import Path

import torch

from martlet.errors import InvalidInput, NotFound
from martlet.learn.model import SEED, Model


def load(reference: str) -> Model:
    """Imports the module, seeded, and gives its model. The current folder is searched too.

    A network made while its module is imported starts with the same weights in every process that loads it so first.

    Raises:
        InvalidInput: not of the form `module:NAME`, or the name is no Model.
        NotFound: no such module or name.
    """
    module_name, colon, name = reference.partition(":")
    if not (module_name and colon and name):
        raise InvalidInput(f"{reference!r}: write a model as module:NAME, such as shop:MODEL")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise NotFound(f"{reference!r}: {error}") from error
    model = getattr(module, name, None)
    if model is None:
        raise NotFound(f"{reference!r}: module {module_name!r} has no {name!r}")
    if not isinstance(model, Model):
        raise InvalidInput(f"{reference!r} is a {type(model).__name__}, not a martlet.learn.Model")
    return model
