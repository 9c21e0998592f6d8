"""The trainer's status survives the wire."""

from hypothesis import given
from hypothesis import strategies as st

from martlet.v1 import trainer_pb2
from martlet.wire.trainer import TrainerStatus, trainer_status_message, trainer_status_of
from tests.unit.wire.samples import NUMBERS, UINT64

TEXT = st.text(max_size=8)
STATUSES = st.builds(
    TrainerStatus,
    model=TEXT,
    epoch=UINT64,
    step=UINT64,
    consumed=st.dictionaries(TEXT, UINT64, max_size=3),
    learned=UINT64,
    excluded=UINT64,
    dead_lettered=UINT64,
    pending=UINT64,
    duplicates=UINT64,
    last_published_digest=TEXT,
    last_published_version=UINT64,
    last_checkpoint_step=UINT64,
    quality=st.dictionaries(TEXT, NUMBERS, max_size=3),
    state_digest=TEXT,
)


@given(STATUSES)
def test_statuses_come_back(status: TrainerStatus) -> None:
    raw = trainer_status_message(status).SerializeToString()
    assert trainer_status_of(trainer_pb2.GetTrainerStatusResponse.FromString(raw)) == status
