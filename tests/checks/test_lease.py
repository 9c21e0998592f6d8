"""Laws of the registries' lease, on a real database."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from martlet.clock import ManualClock
from martlet.errors import Unavailable
from registry_svc.catalog import Standing
from registry_svc.catalog_database import open_database
from registry_svc.catalog_lease import SqlLease
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.lane import Lane
from registry_svc.rollout import admit
from tests.servers.databases import DATABASES, url_of
from tests.unit.registry.samples import record


@pytest.fixture(params=DATABASES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    found = open_database(url_of(request, tmp_path))
    yield found
    found.dispose()


def write(engine: Engine, lease: SqlLease) -> None:
    catalog = SqlCatalog(engine, lease.check)
    standing = catalog.standing("shop")
    version = record(standing.newest + 1, standing.lane.head.digest)
    catalog.commit(admit(standing.lane, version, 5), standing, b"m")


def test_one_leads_until_its_lease_runs_out(engine: Engine) -> None:
    clock = ManualClock(1_000_000_000)
    first, second = SqlLease(engine, "a", clock), SqlLease(engine, "b", clock)
    assert (first.renew(), second.renew()) == (True, False)
    clock.advance(2.9)
    assert (second.renew(), first.renew()) == (False, True)
    clock.advance(3.1)
    assert (second.renew(), first.renew()) == (True, False)


def test_who_does_not_lead_writes_nothing(engine: Engine) -> None:
    clock = ManualClock(1_000_000_000)
    first, second = SqlLease(engine, "a", clock), SqlLease(engine, "b", clock)
    first.renew()
    write(engine, first)
    with pytest.raises(Unavailable, match="leads"):
        write(engine, second)
    clock.advance(4)
    second.renew()
    with pytest.raises(Unavailable, match="leads"):  # it slept, and believes that it still leads
        write(engine, first)
    assert not first.held
    write(engine, second)
    assert SqlCatalog(engine).standing("shop").newest == 2


def test_a_restarted_holder_goes_on_at_once_and_its_ghost_is_shut_out(engine: Engine) -> None:
    clock = ManualClock(1_000_000_000)
    ghost, reborn = SqlLease(engine, "a", clock), SqlLease(engine, "a", clock)
    ghost.renew()
    assert reborn.renew()
    write(engine, reborn)
    with pytest.raises(Unavailable):
        write(engine, ghost)


def test_without_any_lease_nothing_is_written(engine: Engine) -> None:
    with pytest.raises(Unavailable):
        write(engine, SqlLease(engine, "a", ManualClock(1)))
    assert SqlCatalog(engine).standing("shop") == Standing(Lane("shop"))
