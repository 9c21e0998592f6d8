"""Examples of one prediction: how they are made, and cut into batches."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from martlet.wire.events import encode_event
from martlet.wire.recorded import RecordedPrediction
from tests.unit.trainer.fakes import SPEC
from tests.unit.trainer.streams import prediction
from trainer_svc.example_batch import batch_of
from trainer_svc.labelled_rows import LabelledRows, all_rows, count, in_batches, negatives, one_row


def recorded(number: int, rows: int) -> RecordedPrediction:
    items = [100 * number + row for row in range(rows)]
    return RecordedPrediction(encode_event(prediction(number, items=items, user=number)))


@st.composite
def groups(draw: st.DrawFn) -> list[LabelledRows]:
    """Rows of predictions of all sizes; of some only a few."""
    made = []
    for number in range(draw(st.integers(0, 8))):
        one = recorded(number, draw(st.integers(1, 30)))
        rows = np.array(draw(st.lists(st.integers(0, one.rows - 1), min_size=1, max_size=40)), np.int64)
        made.append(LabelledRows(one, rows, np.arange(rows.shape[0], dtype=np.float32), judged=True))
    return made


def flat(examples: list[LabelledRows]) -> list[tuple[str, int, float]]:
    return [
        (group.prediction.prediction_id, row, label)
        for group in examples
        for row, label in zip(group.rows.tolist(), group.labels.tolist(), strict=True)
    ]


@given(groups(), st.integers(1, 50))
def test_batches_hold_all_examples_in_their_order_and_are_of_one_size(examples: list[LabelledRows], most: int) -> None:
    batches = list(in_batches(examples, most))
    assert [one for batch in batches for one in flat(batch)] == flat(examples)
    sizes = [count(batch) for batch in batches]
    assert len(sizes) == -(-count(examples) // most)
    assert all(size == sizes[0] <= most for size in sizes[:-1])
    assert all(0 < size <= sizes[0] for size in sizes)


@given(groups())
def test_a_batch_holds_the_values_of_its_rows(examples: list[LabelledRows]) -> None:
    if not examples:
        return
    batch = batch_of(examples, SPEC.layout)
    expected = [(group.prediction, row) for group in examples for row in group.rows.tolist()]
    assert batch.block.item_ids[:, 0].tolist() == [100 * int(one.prediction_id[2:]) + row for one, row in expected]
    assert batch.block.item_numbers[:, 0].tolist() == [float(row) for _, row in expected]
    users = batch.block.user_ids[batch.block.row_of_user, 0].tolist()
    assert users == [int(one.prediction_id[2:]) for one, _ in expected]
    assert batch.block.user_ids.shape[0] == len(examples)
    assert batch.labels.tolist() == [label for _, _, label in flat(examples)]
    assert batch.block.item_ids.flags.writeable


def test_rows_without_a_label_are_negative() -> None:
    one = recorded(1, 4)
    assert negatives(one, [1, 2]).rows.tolist() == [0, 3]
    assert negatives(one, []).labels.tolist() == [0.0] * 4
    assert len(negatives(one, [0, 1, 2, 3])) == 0
    assert all_rows(one, [1]).labels.tolist() == [0.0, 1.0, 0.0, 0.0]
    assert all_rows(one, []).labels.tolist() == [0.0] * 4, "shared arrays were written to"


def test_a_part_of_all_is_all() -> None:
    whole = all_rows(recorded(1, 3), [])
    assert whole.part(0, 3) is whole
    assert whole.part(1, 2).rows.tolist() == [1]
    assert one_row(recorded(1, 3), 2, 1.0, judged=False).rows.tolist() == [2]
