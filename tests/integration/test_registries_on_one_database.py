"""Two registries, each a process of its own, on one PostgreSQL: no decision is lost, doubled, or taken by two."""

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sql

from registry_svc.catalog_database import open_database
from registry_svc.catalog_sql import SqlCatalog
from registry_svc.catalog_tables import LEASES, VERSIONS
from registry_svc.journal import replay

ROOT = Path(__file__).parents[2]
SECONDS = 2.5


def start(url: str, name: str, how: str, seconds: float = SECONDS) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.integration.catalog_writer", url, name, str(seconds), how]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def counts(process: subprocess.Popen[str]) -> tuple[int, int, int]:
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    done, moved, refused = (int(word) for word in told.split())
    return done, moved, refused


def check_dense(engine: sql.Engine, taken: int) -> None:
    """The journal holds every decision once, each on the one before it, and gives the catalog that stands."""
    catalog = SqlCatalog(engine)
    journal = catalog.journal("shop")
    assert len(journal) == catalog.standing("shop").decisions == taken
    replayed = replay("shop", journal)
    assert replayed.lane == catalog.standing("shop").lane
    assert sorted(replayed.versions) == list(range(1, taken + 1))


def test_two_that_decide_at_once_take_turns(postgres_url: str) -> None:
    """Without a lease: the swap alone keeps them apart."""
    engine = open_database(postgres_url)
    writers = [start(postgres_url, name, "swap") for name in ("a", "b")]
    told = [counts(writer) for writer in writers]
    assert all(done > 0 for done, _, _ in told)
    assert sum(moved for _, moved, _ in told) > 0, "they never met"
    check_dense(engine, sum(done for done, _, _ in told))
    engine.dispose()


@pytest.mark.parametrize("killed", [False, True])
def test_one_leads_and_the_other_takes_over_when_it_dies(postgres_url: str, *, killed: bool) -> None:
    engine = open_database(postgres_url)
    leader = start(postgres_url, "a", "lease")
    while not _led_by(engine, "a"):
        assert leader.poll() is None
    other = start(postgres_url, "b", "lease", 3 * SECONDS)  # well beyond the leader's end
    if killed:
        leader.kill()
        leader.communicate()
    else:
        assert counts(leader)[0] > 0
    assert counts(other)[0] > 0
    with engine.connect() as connection:
        rows = connection.execute(sql.select(VERSIONS.c.digest).order_by(VERSIONS.c.version)).scalars().all()
        token = connection.execute(sql.select(LEASES.c.token)).scalar_one()
    holders = [digest.split("-")[0] for digest in rows]
    assert holders == sorted(holders), "both wrote in turn, though one leads at a time"
    assert token >= 2
    check_dense(engine, len(rows))
    engine.dispose()


def _led_by(engine: sql.Engine, name: str) -> bool:
    with engine.connect() as connection:
        return connection.execute(sql.select(LEASES.c.holder)).scalar() == name
