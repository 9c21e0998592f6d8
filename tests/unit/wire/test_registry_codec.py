"""The registry's values survive the wire."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from martlet.errors import InvalidInput
from martlet.events import Arm
from martlet.evidence import EvidenceBatch, EvidenceRow, Loss
from martlet.measurement import Measurement, MeasurementBatch
from martlet.v1 import registry_pb2 as pb
from martlet.v1 import serving_pb2
from martlet.versions import (
    AspiredModel,
    AspiredSet,
    AspiredVersion,
    CatalogState,
    LineageState,
    Role,
    ServableStatus,
    VersionRecord,
    VersionState,
)
from martlet.wire import registry as wire
from martlet.wire.evidence import evidence_message, evidence_of
from tests.unit.wire.samples import INT64, NUMBERS, UINT64

TEXT = st.text(max_size=8)
NUMBERS32 = st.floats(allow_nan=False, width=32)
UINT32 = st.integers(0, (1 << 32) - 1)

RECORDS = st.builds(
    VersionRecord, TEXT, UINT64, TEXT, TEXT, UINT64, st.sampled_from(CatalogState), TEXT, TEXT, INT64, st.binary()
)
LINEAGES = st.builds(LineageState, TEXT, UINT64, UINT64, UINT64, TEXT, UINT64, TEXT)
ASPIRED_VERSIONS = st.builds(AspiredVersion, UINT64, TEXT, st.sampled_from(Role), UINT32, st.booleans())
ASPIRED_MODELS = st.builds(AspiredModel, TEXT, UINT64, UINT64, TEXT, st.lists(ASPIRED_VERSIONS, max_size=3).map(tuple))
ASPIRED_SETS = st.builds(AspiredSet, st.lists(ASPIRED_MODELS, max_size=3).map(tuple), UINT32)
STATUSES = st.builds(ServableStatus, TEXT, UINT64, TEXT, st.sampled_from(VersionState), TEXT, UINT64, UINT64)
MEASUREMENTS = st.builds(Measurement, TEXT, UINT64, TEXT, UINT64, NUMBERS, NUMBERS)
BATCHES = st.builds(
    MeasurementBatch, st.text(min_size=1, max_size=8), UINT64, st.lists(MEASUREMENTS, max_size=3).map(tuple)
)


@given(RECORDS)
def test_records_come_back(record: VersionRecord) -> None:
    message = pb.VersionRecord.FromString(wire.record_message(record).SerializeToString())
    assert wire.record_of(message) == record


@given(LINEAGES)
def test_lineages_come_back(state: LineageState) -> None:
    message = pb.GetLineageResponse.FromString(wire.lineage_message(state).SerializeToString())
    assert wire.lineage_of(message) == state


@given(ASPIRED_SETS)
def test_aspired_sets_come_back(aspired: AspiredSet) -> None:
    message = pb.WatchAspiredResponse.FromString(wire.aspired_message(aspired).SerializeToString())
    assert wire.aspired_of(message) == aspired


@given(STATUSES)
def test_statuses_come_back(status: ServableStatus) -> None:
    message = serving_pb2.ServableStatus.FromString(wire.status_message(status).SerializeToString())
    assert wire.status_of(message) == status


@given(BATCHES)
def test_measurements_come_back(batch: MeasurementBatch) -> None:
    message = pb.ReportMeasurementsRequest.FromString(wire.measurements_message(batch).SerializeToString())
    assert wire.measurements_of(message) == batch


def test_measurements_without_a_producer_are_refused() -> None:
    """Without one they could not be recognised when they come again."""
    with pytest.raises(InvalidInput, match="producer"):
        wire.measurements_of(pb.ReportMeasurementsRequest(sequence=1))


@pytest.mark.parametrize(
    ("decode", "named"),
    [
        (lambda: wire.record_of(pb.VersionRecord(model="m")), "catalog state 0"),
        (lambda: wire.status_of(serving_pb2.ServableStatus(model="m")), "servable state 0"),
    ],
)
def test_an_unknown_state_is_named(decode: Callable[[], object], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        decode()


def test_what_only_a_newer_release_knows_is_passed_over() -> None:
    """One version in a role or state of tomorrow does not cost the replica all that it knows today."""
    head, strange = pb.AspiredVersion(version=1, role=pb.ROLE_HEAD), pb.AspiredVersion(version=2)
    strange.role = 99  # type: ignore[assignment]
    aspired = wire.aspired_of(pb.WatchAspiredResponse(models=[pb.AspiredModel(model="m", versions=[strange, head])]))
    assert [version.version for version in aspired.models[0].versions] == [1]
    ready, odd = (
        serving_pb2.ServableStatus(version=1, state=serving_pb2.VERSION_STATE_READY),
        serving_pb2.ServableStatus(),
    )
    odd.state = 99  # type: ignore[assignment]
    assert [status.version for status in wire.statuses_of([odd, ready])] == [1]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (CatalogState, pb.CatalogState),
        (Role, pb.Role),
        (VersionState, serving_pb2.VersionState),
    ],
)
def test_the_numbers_are_the_wires(kind: type[CatalogState | Role | VersionState], message: object) -> None:
    """Each member has the proto's number and name; 0 is unspecified there and nothing here."""
    wired = {number: name for name, number in message.items() if number}  # type: ignore[attr-defined]
    assert wired.keys() == {member.value for member in kind}
    assert all(wired[member.value].endswith(member.name) for member in kind)


ROWS = st.builds(
    EvidenceRow,
    user=UINT64,
    time_us=INT64,
    epoch=UINT64,
    arm=st.sampled_from([None, *Arm]),
    weight=UINT32,
    version=UINT64,
    head=UINT64,
    label=st.floats(0, 1, width=32),
    logits=st.dictionaries(UINT64, NUMBERS32, max_size=3),
)
EVIDENCE = st.builds(
    EvidenceBatch,
    producer=st.text(min_size=1, max_size=8),
    sequence=UINT64,
    model=st.text(min_size=1, max_size=8),
    rows=st.lists(ROWS, max_size=3).map(tuple),
    open_gap=st.floats(0, 1e6),
    watermark_us=INT64,
    loss=st.sampled_from(Loss),
)


@given(EVIDENCE)
def test_evidence_comes_back(batch: EvidenceBatch) -> None:
    message = pb.ReportEvidenceRequest.FromString(evidence_message(batch).SerializeToString())
    assert evidence_of(message) == batch


def test_evidence_of_an_older_trainer_is_of_logits_and_that_of_a_newer_one_is_refused() -> None:
    assert evidence_of(pb.ReportEvidenceRequest(producer="judge/shop", model="shop")).loss is Loss.LOG
    with pytest.raises(InvalidInput, match="it is older"):
        evidence_of(pb.ReportEvidenceRequest(producer="judge/shop", model="shop", loss=pb.Loss.ValueType(7)))
