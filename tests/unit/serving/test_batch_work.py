"""Requests put together and taken apart: each gets what it would have got alone."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pytest

from martlet.clock import ManualClock
from martlet.signature import Signature, TensorSpec
from serving_svc.batch_work import Scoring, TensorRuns
from serving_svc.servable import Scores, Tensors
from tests.unit.serving.fakes import NanServable, SumServable, block_of

CLOCK = ManualClock()
Inputs = Mapping[str, npt.NDArray[np.generic]]


class Pairs(SumServable):
    """logit[n] = user[row_of_user[n]] * 100 + item[n]; `whole` is of no item."""

    signature = Signature(
        (
            TensorSpec("user", "int64", ("r", 1)),
            TensorSpec("item", "int64", ("n", 1)),
            TensorSpec("row_of_user", "int64", ("n",)),
        ),
        (TensorSpec("logit", "float32", ("n",)), TensorSpec("whole", "float32", (1,))),
    )

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0

    def infer(self, inputs: Inputs, outputs: Sequence[str]) -> Tensors:
        self.runs += 1
        user, item, of = (np.asarray(inputs[name], np.int64) for name in ("user", "item", "row_of_user"))
        logit = (user[of, 0] * 100 + item[:, 0]).astype(np.float32)
        logit[item[:, 0] < 0] = np.nan
        return {"logit": logit, "whole": logit.sum(keepdims=True)} if len(outputs) > 1 else {"logit": logit}


def request(users: list[int], items: list[int], of: list[int]) -> Inputs:
    return {
        "user": np.array(users, np.int64)[:, None],
        "item": np.array(items, np.int64)[:, None],
        "row_of_user": np.array(of, np.int64),
    }


REQUESTS = [request([1], [1, 2], [0, 0]), request([2, 3], [3], [1]), request([4, 5], [6, 7, 8], [1, 0, 1])]


def test_each_request_keeps_its_users_and_rows() -> None:
    servable = Pairs()
    together = TensorRuns(("logit",), CLOCK).run(servable, REQUESTS)
    assert servable.runs == 1
    alone = [TensorRuns(("logit",), CLOCK).run(servable, [one])[0] for one in REQUESTS]
    assert [run.outputs["logit"].tolist() for run in together] == [run.outputs["logit"].tolist() for run in alone]
    assert [run.outputs["logit"].tolist() for run in together] == [[101, 102], [303], [506, 407, 508]]


def test_an_output_that_is_of_no_item_row_keeps_requests_apart() -> None:
    servable = Pairs()
    together = TensorRuns(("logit", "whole"), CLOCK).run(servable, REQUESTS)
    assert servable.runs == 3
    assert [run.outputs["whole"].tolist() for run in together] == [[203], [303], [1421]]


def test_a_request_that_is_not_finite_is_alone_in_it() -> None:
    bad = request([1], [-1], [0])
    together = TensorRuns(("logit",), CLOCK).run(Pairs(), [REQUESTS[0], bad, REQUESTS[1]])
    assert [run.finite for run in together] == [True, False, True]


@pytest.mark.parametrize("blocks", [1, 3])
def test_scores_are_looked_at_once_and_taken_apart(blocks: int) -> None:
    parts = [block_of(*range(n + 1)) for n in range(blocks)]
    scores = Scoring().run(SumServable(), parts)
    assert [part.logit.tolist() for part in scores] == [list(range(n + 1)) for n in range(blocks)]
    assert all(part.known_finite and part.finite for part in scores)


def test_scores_that_are_no_numbers_are_found_in_the_request_that_has_them() -> None:
    scores = Scoring().run(NanServable(), [block_of(1), block_of(2)])
    assert [part.finite for part in scores] == [True, False]
    assert not Scores(np.array([np.inf], np.float32), np.zeros(1, np.float32)).finite
