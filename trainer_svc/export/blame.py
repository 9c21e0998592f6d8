"""Which layer cannot be exported, or gives other numbers in onnxruntime: each is tried by itself, from the outside in.

Only for the message of a check that has failed already: a try takes about a second.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import onnxruntime as ort
import torch
from torch.export import Dim

from martlet.learn.layer_calls import LayerCall, calls_of, first_to_part
from martlet.learn.rows_in import RowsIn
from trainer_svc.dense_model import DenseModel
from trainer_svc.export.dense_graph import quiet, sample_inputs

_MOST_TRIES: Final = 30
_ROWS: Final = 3
_SIZES: Final = (1, 7, 64)
_NEAR: Final = 1e-5

Fails = Callable[[LayerCall], bool]


def layer_not_exported(dense: DenseModel) -> str:
    """The innermost layer that torch's exporter refuses, for a message; "" if each by itself can be exported."""
    return _innermost(_calls(dense, _ROWS), lambda call: _exported(call) is None)


def layer_without_parity(dense: DenseModel) -> str:
    """The innermost layer whose export gives other numbers than the layer; "" if there is none."""
    by_size = [_calls(dense, size) for size in _SIZES]

    def parts(call: LayerCall) -> bool:
        exported = _exported(call)
        if exported is None:
            return False
        session = ort.InferenceSession(exported, providers=["CPUExecutionProvider"])
        same = [peer for calls in by_size for peer in calls if peer.name == call.name]
        return any(not _agrees(session, peer) for peer in same)

    return _innermost(_calls(dense, _ROWS), parts)


def layer_that_mixes_rows(dense: DenseModel) -> str:
    """The first layer whose first row depends on the rows beside it; "" if there is none."""
    inputs = sample_inputs(dense, _SIZES[1])
    together = calls_of(dense.net, lambda _: dense(*inputs))
    alone = calls_of(dense.net, lambda _: dense(*(tensor[:1] for tensor in inputs)))
    return first_to_part(together, alone, _same_first_row)


def layer_with_hidden_state(dense: DenseModel) -> str:
    """The first layer that gives something else the second time it learns the same; "" if there is none."""
    dense.train()
    inputs = sample_inputs(dense, _ROWS)
    buffers = [buffer.clone() for buffer in dense.buffers()]

    def run() -> list[LayerCall]:
        for buffer, kept in zip(dense.buffers(), buffers, strict=True):
            buffer.copy_(kept)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return calls_of(dense.net, lambda _: dense(*inputs))

    return first_to_part(run(), run())


def _calls(dense: DenseModel, rows: int) -> list[LayerCall]:
    dense.eval()
    return calls_of(dense.net, lambda _: dense(*sample_inputs(dense, rows)))


def _innermost(calls: Sequence[LayerCall], fails: Fails) -> str:
    """Looks inside a failing layer for one that fails too."""
    found, tries = "", 0
    inside = ""
    while tries < _MOST_TRIES:
        children = [call for call in calls if _is_child(call.name, inside, calls) and _can_be_tried(call)]
        for child in children:
            tries += 1
            if tries > _MOST_TRIES or fails(child):
                break
        else:
            return found
        found, inside = child.place, child.name
    return found


def _is_child(name: str, inside: str, calls: Sequence[LayerCall]) -> bool:
    """Whether a layer stands directly in another: with nothing that is called between them."""
    if not name or name == inside or (inside and not name.startswith(f"{inside}.")):
        return False
    return not any(
        other.name not in (name, inside, "")
        and name.startswith(f"{other.name}.")
        and (not inside or other.name.startswith(f"{inside}."))
        for other in calls
    )


def _can_be_tried(call: LayerCall) -> bool:
    """What does not take tensors alone cannot be called from here; nor do rows, which are given back, need a try."""
    alone = not call.kwargs and bool(call.args) and all(isinstance(value, torch.Tensor) for value in call.args)
    return alone and not isinstance(call.layer, RowsIn)


def _exported(call: LayerCall) -> bytes | None:
    """The layer as ONNX by itself; None if it cannot be."""
    try:
        with quiet():
            program = torch.onnx.export(
                call.layer,
                call.args,
                dynamo=True,
                optimize=False,
                dynamic_shapes=tuple({0: Dim.DYNAMIC} for _ in call.args),
                verbose=False,
            )
    except Exception:  # noqa: BLE001  whatever it is, this layer is the one
        return None
    assert program is not None
    return program.model_proto.SerializeToString()


def _agrees(session: ort.InferenceSession, call: LayerCall) -> bool:
    names = [node.name for node in session.get_inputs()]
    try:
        found = session.run(None, {name: value.numpy() for name, value in zip(names, call.args, strict=True)})
    except Exception:  # noqa: BLE001  onnxruntime has a class of its own for each of its statuses
        return False
    return all(np.allclose(one, other, rtol=_NEAR, atol=_NEAR) for one, other in zip(found, call.outputs, strict=True))


def _same_first_row(left: torch.Tensor, right: torch.Tensor) -> bool:
    if not left.dim() or not right.dim():
        return torch.equal(left, right)
    return torch.allclose(left[:1], right[:1], rtol=_NEAR, atol=_NEAR)
