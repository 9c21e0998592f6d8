"""A version's signature: the tensors that go in and come out, by name, dtype and dimensions.

Dimensions are `"r"` (user rows: one for each request in a batch), `"n"` (item rows: one for each candidate) or a
number. `row_of_user[n]` says which user row an item row belongs to. A version without features, which answers raw
tensors alone, names its dimensions as it likes: one name is one size within a request.
"""

from dataclasses import dataclass
from typing import Final

ROW_OF_USER: Final = "row_of_user"
SCORE: Final = "score"
LOGIT: Final = "logit"

Dim = int | str


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor. dtype is `int64` or `float32`; without features NumPy's other names, `bfloat16` and `string` too."""

    name: str
    dtype: str
    dims: tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs in the graph's order, outputs in the graph's order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
