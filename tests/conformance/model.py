"""The model under test as its metadata tells it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from tests.conformance.datatypes import BY_NAME, Value


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor; -1 is a dimension of any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def sized(self, rows: int) -> "Tensor":
        """The same with every free dimension `rows`."""
        return replace(self, shape=tuple(rows if size == -1 else size for size in self.shape))

    @property
    def count(self) -> int:
        """How many elements it has."""
        return prod(self.shape)

    @property
    def has_free_rows(self) -> bool:
        """Whether its first dimension is of any size."""
        return self.shape[:1] == (-1,)


@dataclass(frozen=True, slots=True)
class Model:
    """A model.

    Attributes:
        echoes: its i-th output gives its i-th input.
        given: values of inputs by name, from a file; an input of a fixed shape for the requests of all cases.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    echoes: bool = False
    given: Mapping[str, Sequence[Value]] = field(default_factory=dict)

    @property
    def can_be_typed(self) -> bool:
        """Whether every input has typed contents: FP16 and BF16 have none, and raw and typed must not be mixed."""
        return all(BY_NAME[tensor.datatype].contents for tensor in self.inputs)

    @property
    def can_be_sent(self) -> bool:
        """Whether the kit knows every datatype of its inputs."""
        return bool(self.inputs) and all(tensor.datatype in BY_NAME for tensor in self.inputs)

    def place_of(self, datatype: str) -> int | None:
        """The first input of a datatype; "" means any."""
        places = [i for i, tensor in enumerate(self.inputs) if datatype in {"", tensor.datatype}]
        return places[0] if places else None
