"""`martlet check` passes the example of the documentation and says why it refuses a model."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

import martlet.learn as ml
from martlet.errors import InvalidInput
from tests.unit.learn.shop import MODEL as SHOP
from tests.unit.learner.samples import LABEL
from trainer_svc.check import check

CHECKS = ["learning", "determinism", "independence", "export", "operators", "parity", "parity after a swap"]


class Net(nn.Module):
    def __init__(self, compute: Callable[[nn.Module, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.item = nn.Embedding(1, 4)
        self.last = nn.Linear(4, 1)
        self.compute = compute

    def forward(self, item: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(self.compute(self, self.item(item)))
        return logits


def among_others(_net: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    return rows - rows.mean(0)


def counting(net: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """Keeps a state of its training that is no buffer: a restore cannot bring it back."""
    calls = int(getattr(net, "calls", 0)) + net.training
    vars(net)["calls"] = calls
    return rows * calls


def of_seven(_net: nn.Module, rows: torch.Tensor) -> torch.Tensor:
    """Torch exports this as if no batch had seven rows, without a word."""
    return rows if rows.shape[0] != 7 else rows * 2


def test_the_example_of_the_documentation_passes() -> None:
    report = check(SHOP)
    assert report.passed, report.render()
    assert [finding.name for finding in report.findings] == CHECKS
    assert "model 'shop' can be learned and served" in report.render()


@pytest.mark.parametrize(
    ("compute", "failing"),
    [(among_others, "independence"), (counting, "determinism"), (of_seven, "parity")],
)
def test_a_model_that_cannot_be_served_fails(
    compute: Callable[[nn.Module, torch.Tensor], torch.Tensor], failing: str
) -> None:
    report = check(ml.Model("odd", Net(compute), inputs={"item": ml.Id("item_id")}, label=LABEL))
    assert not report.passed
    assert report.findings[-1].name == failing, report.render()
    assert "cannot be served as it is" in report.render()


class Deep(nn.Module):
    """A layer of a test's own, inside a layer, inside the network."""

    def __init__(self, odd: nn.Module) -> None:
        super().__init__()
        self.item = nn.Embedding(1, 4)
        self.tower = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), odd), nn.Linear(4, 1))

    def forward(self, item: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.tower(self.item(item))
        return logits


class Centred(nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows - rows.mean(0)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return rows * self.calls


class OfSeven(nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows if rows.shape[0] != 7 else rows * 2


class Branching(nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows if rows.sum() > 0 else rows * 2


class Drawing(nn.Module):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return rows + torch.rand(1)


@pytest.mark.parametrize(
    ("odd", "finding", "message"),
    [
        (Centred(), "independence", r"layer 'tower.1.1' (Centred) looks at the rows beside it"),
        (Counting(), "determinism", r"layer 'tower.1.1' (Counting) keeps a state that is no buffer"),
        (OfSeven(), "parity", r"layer 'tower.1.1' (OfSeven) gives other numbers in onnxruntime"),
        (Branching(), "export", r"layer 'tower.1.1' (Branching) cannot be exported by itself"),
    ],
)
def test_the_layer_is_named(odd: nn.Module, finding: str, message: str) -> None:
    report = check(ml.Model("odd", Deep(odd), inputs={"item": ml.Id("item_id")}, label=LABEL))
    assert report.findings[-1].name == finding, report.render()
    assert message in report.findings[-1].detail


def test_a_layer_that_draws_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"layer 'tower.1.1' \(Drawing\) gives other numbers for the same inputs"):
        ml.Model("odd", Deep(Drawing()), inputs={"item": ml.Id("item_id")}, label=LABEL)
