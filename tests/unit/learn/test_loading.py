"""`module:NAME` gives the model, with the same first weights each time."""

import sys
from pathlib import Path

import pytest
import torch

import martlet.learn as ml
from martlet.errors import InvalidInput, NotFound


def test_a_model_is_loaded_with_the_same_weights_in_every_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parent / "shop.py").read_text()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    weights = []
    for name in ("shop_one", "shop_two"):
        (tmp_path / f"{name}.py").write_text(text)
        weights.append(ml.load(f"{name}:MODEL").net.state_dict())
        torch.rand(7)  # what else draws random numbers must not matter
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize(
    ("reference", "error", "message"),
    [
        ("shop", InvalidInput, "module:NAME"),
        ("no_such_module:MODEL", NotFound, "no_such_module"),
        ("tests.unit.learn.shop:NOTHING", NotFound, "has no 'NOTHING'"),
        ("tests.unit.learn.shop:Net", InvalidInput, "not a martlet.learn.Model"),
    ],
)
def test_what_is_no_model_is_named(reference: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ml.load(reference)
