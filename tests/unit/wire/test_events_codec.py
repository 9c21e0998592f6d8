"""Events survive the log: what is encoded comes back, what is damaged is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.errors import Corrupt, InvalidInput
from martlet.events import Arm, Event, ItemDelete, ItemUpsert, Outcome, Prediction
from martlet.feature_spec import FeatureBlock
from martlet.v1 import events_pb2
from martlet.wire.events import decode_event, encode_event, log_record

IDS = st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.text(max_size=20))
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def predictions(draw: st.DrawFn) -> Prediction:
    n = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    features = FeatureBlock(
        rng.integers(-(1 << 63), (1 << 63) - 1, (1, draw(st.integers(0, 4)))),
        rng.normal(size=(1, draw(st.integers(0, 3)))).astype(np.float32),
        rng.integers(-(1 << 63), (1 << 63) - 1, (n, draw(st.integers(0, 4)))),
        rng.normal(size=(n, draw(st.integers(0, 3)))).astype(np.float32),
        np.zeros(n, np.int64),
    )
    return Prediction(
        prediction_id=draw(st.text(min_size=1, max_size=20)),
        model="shop",
        time_us=draw(st.integers(0, 1 << 60)),
        epoch=3,
        revision=4,
        salt="s",
        bucket=draw(st.integers(0, 9999)),
        weight=9000,
        arm=draw(st.sampled_from(Arm)),
        version=draw(st.integers(1, 1 << 40)),
        digest="d",
        user_id=draw(st.none() | IDS),
        session_id=draw(st.text(max_size=5)),
        item_ids=tuple(draw(st.lists(IDS, min_size=n, max_size=n))),
        propensities=draw(st.none() | st.just(np.full(n, 0.5, np.float32))),
        scores={7: rng.normal(size=n).astype(np.float32), 9: rng.normal(size=n).astype(np.float32)},
        spec_digest="abc",
        features=features,
    )


def same(first: object, second: object) -> None:
    """Equality of events, arrays included."""
    assert type(first) is type(second)
    if isinstance(first, np.ndarray):
        np.testing.assert_array_equal(first, second)
        assert first.dtype == second.dtype  # type: ignore[attr-defined]
    elif isinstance(first, Prediction | FeatureBlock):
        for name in type(first).__dataclass_fields__:
            same(getattr(first, name), getattr(second, name))
    elif isinstance(first, dict):
        assert first.keys() == second.keys()  # type: ignore[attr-defined]
        for key, value in first.items():
            same(value, second[key])  # type: ignore[index]
    else:
        assert first == second


@given(predictions())
def test_predictions_come_back(event: Prediction) -> None:
    same(event, decode_event(encode_event(event)))


@given(
    st.one_of(
        st.builds(Outcome, st.text(min_size=1), st.text(), IDS, st.text(), FLOATS, st.integers(0, 1 << 60)),
        st.builds(ItemDelete, st.text(), IDS, st.integers(0, 1 << 60)),
        st.builds(
            ItemUpsert,
            st.text(),
            IDS,
            st.dictionaries(st.text(max_size=8), st.one_of(IDS, FLOATS, st.lists(IDS, max_size=3)), max_size=3),
            st.integers(0, 1 << 60),
        ),
    )
)
def test_other_events_come_back(event: Event) -> None:
    assert decode_event(encode_event(event)) == event


@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused_in_the_domains_words(payload: bytes) -> None:
    try:
        decode_event(payload)
    except (Corrupt, InvalidInput):
        return


def test_scores_that_do_not_fit_are_refused() -> None:
    message = events_pb2.LogRecord(
        prediction=events_pb2.PredictionEvent(
            prediction_id="p",
            arm=events_pb2.ARM_LIVE,
            item_ids=[events_pb2.Id(number=1), events_pb2.Id(number=2)],
            scores=[events_pb2.VersionScores(version=1, logits=[0.5])],
        )
    )
    with pytest.raises(InvalidInput, match="2 items"):
        decode_event(message.SerializeToString())


def test_a_ragged_feature_block_is_refused() -> None:
    event = events_pb2.PredictionEvent(
        prediction_id="p",
        arm=events_pb2.ARM_LIVE,
        item_ids=[events_pb2.Id(number=1), events_pb2.Id(number=2)],
        features=events_pb2.FeatureBlock(item_ids=bytes(24)),
    )
    with pytest.raises(InvalidInput, match="2 rows"):
        decode_event(events_pb2.LogRecord(prediction=event).SerializeToString())


@pytest.mark.parametrize(
    "record",
    [
        events_pb2.LogRecord(prediction=events_pb2.PredictionEvent(prediction_id="p")),
        events_pb2.LogRecord(outcome=events_pb2.OutcomeEvent(prediction_id="p")),
        events_pb2.LogRecord(item_delete=events_pb2.ItemDeleteEvent(model="m")),
    ],
)
def test_missing_parts_are_named(record: events_pb2.LogRecord) -> None:
    with pytest.raises(InvalidInput):
        decode_event(record.SerializeToString())


def test_the_message_says_which_kind_it_is() -> None:
    assert log_record(Outcome("e", "p", 1, "click", 1.0, 5)).WhichOneof("event") == "outcome"
