"""Several networks as one: their logits are added with weights, fixed or learned along. One graph serves them all.

Ids have one row each, in one table: so an id input goes to one nn.Embedding here, as wide as all that the networks have
for it side by side, and each network gets its own columns of the row.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import torch
from torch import nn

from martlet.errors import InvalidInput
from martlet.learn.heads import Head, TaskHead
from martlet.learn.inputs import IdInput, Input
from martlet.learn.probe import Probe, probe
from martlet.learn.rows_in import with_rows_in

_LAYER: Final = "rows_of_"  # an nn.ModuleDict refuses keys such as "type"


class Ensemble(nn.Module):
    """A network for `Model`; its inputs are the model's, and each member must take them all.

    logits = Σ weight · member's logits. Learned weights begin as the mean.

    Args:
        inputs: as `Model` takes them.
        nets: the members, each a network for such a model by itself; what their nn.Embedding layers hold is not used.
        weights: "learned", or one number a member.
        outputs: logits of each member.

    Raises:
        InvalidInput: a member cannot work; or not one weight a member.
    """

    def __init__(
        self,
        inputs: Mapping[str, Input],
        nets: Sequence[nn.Module],
        weights: Literal["learned"] | Sequence[float] = "learned",
        outputs: int = 1,
    ) -> None:
        super().__init__()
        if not nets or (weights != "learned" and len(weights) != len(nets)):
            raise InvalidInput(f"an ensemble of {len(nets)} networks needs as many weights, or 'learned'")
        self.outputs = outputs
        head = Head((TaskHead("", 0, outputs, "identity"),))
        found = [probe(net, inputs, head) for net in nets]
        self._groups = _groups(inputs, found)
        self._columns = [_columns(member, self._groups, found) for member in range(len(nets))]
        widths: dict[str, int] = {}
        for columns in self._columns:
            for name, (_first, end) in columns.items():
                widths[self._groups[name]] = max(end, widths.get(self._groups[name], 0))
        self.rows = nn.ModuleDict({_LAYER + group: nn.Embedding(1, width) for group, width in widths.items()})
        self.members = nn.ModuleList(with_rows_in(net) for net in nets)
        if weights == "learned":
            self.weights = nn.Parameter(torch.full((len(nets),), 1.0 / len(nets)))
        else:
            self.register_buffer("weights", torch.tensor([float(weight) for weight in weights]))

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Logits [B], or [B, outputs]."""
        rows = {name: self.rows[_LAYER + group](inputs[name]) for name, group in self._groups.items()}
        logits = []
        for net, columns in zip(self.members, self._columns, strict=True):
            own = {name: rows[name][..., first:end] for name, (first, end) in columns.items()}
            logits.append(net(**{**inputs, **own}).reshape(-1, self.outputs))
        total: torch.Tensor = (torch.stack(logits, 2) * self.weights).sum(2)
        return total.squeeze(1) if self.outputs == 1 else total


def _groups(inputs: Mapping[str, Input], found: Sequence[Probe]) -> dict[str, str]:
    """For each id input the first of those that share a layer with it, in any member: they share their rows."""
    groups = {name: name for name, kind in inputs.items() if isinstance(kind, IdInput)}
    for one in found:
        firsts: dict[str, str] = {}
        for name, layer in one.layers.items():
            other = groups[firsts.setdefault(layer, name)]
            own = groups[name]
            groups = {peer: other if group == own else group for peer, group in groups.items()}
    return groups


def _columns(member: int, groups: Mapping[str, str], found: Sequence[Probe]) -> dict[str, tuple[int, int]]:
    """The columns of its group's row that each id input of a member has: a part for each layer of each member."""
    taken: dict[str, int] = {}
    parts: dict[tuple[int, str, str], tuple[int, int]] = {}
    for number, one in enumerate(found):
        for name, layer in one.layers.items():
            key = (number, layer, groups[name])
            if key not in parts:
                first = taken.get(groups[name], 0)
                parts[key] = first, first + one.widths[name]
                taken[groups[name]] = first + one.widths[name]
    return {name: parts[member, layer, groups[name]] for name, layer in found[member].layers.items()}
