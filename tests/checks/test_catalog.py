"""Laws of the catalog and of the measurement log, for every implementation."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sql

from martlet.errors import InvalidInput, NotFound, Unavailable
from martlet.measurement import Measurement, MeasurementBatch
from martlet.versions import CatalogState
from registry_svc import rollout
from registry_svc.catalog import Catalog, Moved, Standing
from registry_svc.catalog_database import open_database
from registry_svc.catalog_measurements import SqlMeasurementLog
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.catalog_tables import DECISIONS, FORMAT, METADATA
from registry_svc.journal import Decision, DecisionKind, Move, replay
from registry_svc.lane import Lane, Member
from tests.fakes.memory_catalog import MemoryCatalog
from tests.servers.databases import DATABASES, url_of
from tests.unit.registry.samples import record

Law = Callable[[Catalog], None]


def publish(catalog: Catalog, number: int, model: str = "shop") -> Decision:
    standing = catalog.standing(model)
    parent = standing.lane.head.digest
    decision = rollout.admit(standing.lane, record(number, parent, model=model), 1000 + number)
    catalog.commit(decision, standing, f"manifest {number}".encode())
    return decision


def check_an_unknown_model_stands_at_the_beginning(catalog: Catalog) -> None:
    assert catalog.standing("nobody") == Standing(Lane("nobody"), 0, 0)
    assert catalog.lanes() == []
    assert catalog.find("nobody", "v1") is None
    assert catalog.versions("nobody", 0, 5, with_manifests=True) == []
    with pytest.raises(NotFound, match="nobody"):
        catalog.get("nobody", 1)


def check_what_is_committed_stands(catalog: Catalog) -> None:
    decision = publish(catalog, 1)
    publish(catalog, 1, model="feed")
    assert catalog.standing("shop") == Standing(decision.lane, 1, 1)
    assert [lane.model for lane in catalog.lanes()] == ["feed", "shop"]
    found = catalog.get("shop", 1)
    assert found == catalog.find("shop", "v1")
    assert (found.state, found.manifest) == (CatalogState.PINNED, b"manifest 1")


def check_a_decision_on_a_past_standing_writes_nothing(catalog: Catalog) -> None:
    publish(catalog, 1)
    past = catalog.standing("shop")
    publish(catalog, 2)
    before = (catalog.standing("shop"), catalog.versions("shop", 0, 9, with_manifests=True), catalog.journal("shop"))
    with pytest.raises(Moved):
        catalog.commit(rollout.admit(past.lane, record(2, "v1", digest="other"), 5), past)
    after = (catalog.standing("shop"), catalog.versions("shop", 0, 9, with_manifests=True), catalog.journal("shop"))
    assert after == before


def check_a_digest_stands_once(catalog: Catalog) -> None:
    publish(catalog, 1)
    standing = catalog.standing("shop")
    with pytest.raises(Moved):
        catalog.commit(rollout.admit(standing.lane, record(2, "v1", digest="v1"), 5), standing)
    assert catalog.standing("shop") == standing


def check_a_refusal_counts_as_a_decision(catalog: Catalog) -> None:
    past = catalog.standing("shop")
    catalog.commit(rollout.refuse(past.lane, replace(record(1), reason="no good"), 5), past, b"bad")
    assert catalog.standing("shop") == Standing(Lane("shop"), 1, 1)
    assert (catalog.get("shop", 1).state, catalog.get("shop", 1).reason) == (CatalogState.REJECTED, "no good")
    with pytest.raises(Moved):
        catalog.commit(rollout.admit(past.lane, record(2), 6), past)


def check_states_move_with_their_decision(catalog: Catalog) -> None:
    for number in (1, 2, 3, 4):
        publish(catalog, number)
    standing = catalog.standing("shop")
    failed = rollout.fail(standing.lane, 4, Member(3, "v3"), "broken", 9)
    assert failed is not None
    catalog.commit(failed, standing)
    states = [(found.state, found.reason) for found in catalog.versions("shop", 0, 9, with_manifests=False)]
    assert states == [
        (CatalogState.PINNED, ""),
        (CatalogState.ADMITTED, ""),
        (CatalogState.ADMITTED, ""),
        (CatalogState.REJECTED, "broken"),
    ]


def check_versions_are_listed_in_pages(catalog: Catalog) -> None:
    for number in range(1, 6):
        publish(catalog, number)
    page = catalog.versions("shop", 1, 3, with_manifests=False)
    assert [found.version for found in page] == [2, 3, 4]
    assert {found.manifest for found in page} == {b""}
    assert [found.manifest for found in catalog.versions("shop", 4, 3, with_manifests=True)] == [b"manifest 5"]


def check_the_journal_replays_to_the_catalog(catalog: Catalog) -> None:
    taken = [publish(catalog, number) for number in (1, 2, 3)]
    assert catalog.journal("shop") == taken
    assert catalog.journal("shop", after=1, limit=1) == taken[1:2]
    replayed = replay("shop", taken)
    assert replayed.lane == catalog.standing("shop").lane
    assert list(replayed.versions.values()) == catalog.versions("shop", 0, 9, with_manifests=False)


LAWS: list[Law] = [law for name, law in sorted(globals().items()) if name.startswith("check_")]


def url_in(folder: Path) -> str:
    return f"sqlite:///{folder / 'catalog.db'}"


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request, tmp_path)


@pytest.fixture
def engine(url: str) -> Iterator[sql.Engine]:
    engine = open_database(url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_of_the_catalog(law: Law, engine: sql.Engine) -> None:
    law(SqlCatalog(engine))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law_of_the_catalog_in_memory(law: Law) -> None:
    law(MemoryCatalog())


def test_a_commit_that_breaks_in_the_middle_leaves_nothing(engine: sql.Engine) -> None:
    """The journal's row is written last; if it cannot be, the lane and the version are as before."""
    catalog = SqlCatalog(engine)
    publish(catalog, 1)
    standing = catalog.standing("shop")
    with engine.begin() as connection:
        row = {"model": "shop", "number": 2, "kind": "x", "time_us": 0, "decision": b""}
        connection.execute(sql.insert(DECISIONS).values(row))
    with pytest.raises(Moved):
        catalog.commit(rollout.admit(standing.lane, record(2, "v1"), 5), standing)
    assert catalog.standing("shop") == standing
    assert catalog.find("shop", "v2") is None


def test_the_swap_does_not_lean_on_the_journal(engine: sql.Engine) -> None:
    """Old decisions may be archived; a decision on a past standing is refused all the same."""
    catalog = SqlCatalog(engine)
    publish(catalog, 1)
    past = catalog.standing("shop")
    publish(catalog, 2)
    with engine.begin() as connection:
        connection.execute(sql.delete(DECISIONS))
    with pytest.raises(Moved):
        catalog.commit(rollout.refuse(past.lane, record(3), 5), past)
    assert catalog.standing("shop").newest == 2


def test_every_part_of_a_decision_survives_the_journal(engine: sql.Engine) -> None:
    catalog, standing = SqlCatalog(engine), Standing(Lane("shop"))
    everything = Decision(
        DecisionKind.FAILED,
        "Żółw",
        1,
        replace(Lane("shop"), epoch=2),
        replace(record(1), state=CatalogState.QUARANTINED),
        (Move(7, CatalogState.REJECTED, "why"),),
    )
    catalog.commit(everything, standing, b"manifest")
    assert catalog.journal("shop") == [everything]


def test_a_database_opened_again_is_the_same(url: str) -> None:
    first = open_database(url)
    publish(SqlCatalog(first), 1)
    standing = SqlCatalog(first).standing("shop")
    first.dispose()
    again = open_database(url)
    assert SqlCatalog(again).standing("shop") == standing
    again.dispose()


def test_sqlite_keeps_what_it_told(tmp_path: Path) -> None:
    engine = open_database(url_in(tmp_path))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    engine.dispose()


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////nowhere/at/all/catalog.db", "unknowndb://host/name"])
def test_a_bad_url_is_one_line_that_names_the_setting(url: str) -> None:
    with pytest.raises(InvalidInput, match=r"^bad setting: registry\.catalog_url: [^\n]+$"):
        open_database(url)


def test_a_password_is_not_told() -> None:
    with pytest.raises(InvalidInput) as caught:
        open_database("unknowndb://user:secret@host/name")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("fault", ["another format", "a table from elsewhere"])
def test_a_catalog_of_another_format_is_refused(fault: str, url: str) -> None:
    engine = open_database(url)
    with engine.begin() as connection:
        if fault == "another format":
            connection.execute(sql.update(FORMAT).values(format=2))
        else:
            FORMAT.drop(connection)
    engine.dispose()
    with pytest.raises(InvalidInput, match="format"):
        open_database(url)


def test_a_database_that_does_not_answer_is_unavailable(url: str) -> None:
    engine = open_database(url)
    METADATA.drop_all(engine)
    for call in (lambda: SqlCatalog(engine).lanes(), lambda: publish(SqlCatalog(engine), 1)):
        with pytest.raises(Unavailable, match="catalog"):
            call()
    engine.dispose()


def batch(producer: str, sequence: int, value: float = 1.0) -> MeasurementBatch:
    return MeasurementBatch(producer, sequence, (Measurement("shop", 1, "errors", 1, value, value),))


def test_a_batch_is_added_once(engine: sql.Engine) -> None:
    log = SqlMeasurementLog(engine)
    assert [log.add(batch("r1", 1)), log.add(batch("r2", 1)), log.add(batch("r1", 1, 9.0))] == [True, True, False]
    assert [logged.batch for logged in log.read(0, 9)] == [batch("r1", 1), batch("r2", 1)]


def test_batches_are_read_in_order_of_arrival_from_a_cursor(engine: sql.Engine) -> None:
    log = SqlMeasurementLog(engine)
    for sequence in (3, 1, 2):
        log.add(batch("r1", sequence))
    first = log.read(0, 2)
    assert [logged.batch.sequence for logged in first] == [3, 1]
    assert [logged.batch.sequence for logged in log.read(first[-1].number, 2)] == [2]


def test_what_was_forgotten_is_still_a_duplicate(engine: sql.Engine) -> None:
    log = SqlMeasurementLog(engine)
    for sequence in range(1, 6):
        log.add(batch("r1", sequence))
    assert (log.forget(2), log.forget(2)) == (3, 0)
    assert [logged.batch.sequence for logged in log.read(0, 9)] == [4, 5]
    assert [log.add(batch("r1", sequence)) for sequence in (1, 3, 5, 6)] == [False, False, False, True]
    assert log.add(batch("r2", 1))


def test_numbers_are_not_used_again_after_forgetting(engine: sql.Engine) -> None:
    """A reader's cursor must not skip what came after everything before was forgotten."""
    log = SqlMeasurementLog(engine)
    log.add(batch("r1", 1))
    cursor = log.read(0, 1)[-1].number
    log.forget(0)
    log.add(batch("r1", 2))
    assert [logged.batch.sequence for logged in log.read(cursor, 9)] == [2]
