"""The measurement log on a relational database, through SQLAlchemy."""

from collections.abc import Callable

import msgspec
import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from martlet.measurement import MeasurementBatch
from registry_svc.catalog_tables import BATCHES, PRODUCERS, transaction, unfenced
from registry_svc.measurement_log import LoggedBatch


class SqlMeasurementLog:
    """See `registry_svc.measurement_log.MeasurementLog`. `fence` is called first in every transaction that writes."""

    def __init__(self, engine: Engine, fence: Callable[[Connection], None] = unfenced) -> None:
        self._engine = engine
        self._fence = fence

    def add(self, batch: MeasurementBatch) -> bool:
        """Appends a batch, once."""
        row = {"producer": batch.producer, "sequence": batch.sequence, "batch": msgspec.json.encode(batch)}
        try:
            with transaction(self._engine) as connection:
                self._fence(connection)
                if batch.sequence <= _forgotten_to(connection, batch.producer):
                    return False
                connection.execute(sql.insert(BATCHES).values(row))
        except sql.exc.IntegrityError:
            return False
        return True

    def read(self, after: int, limit: int) -> list[LoggedBatch]:
        """At most `limit` batches after a number, oldest first."""
        query = sql.select(BATCHES).where(BATCHES.c.number > after).order_by(BATCHES.c.number).limit(limit)
        with transaction(self._engine) as connection:
            return [
                LoggedBatch(row.number, msgspec.json.decode(row.batch, type=MeasurementBatch))
                for row in connection.execute(query)
            ]

    def forget(self, keep: int) -> int:
        """Drops all but the newest `keep` batches."""
        newest_gone = sql.select(BATCHES.c.number).order_by(BATCHES.c.number.desc()).offset(keep).limit(1)
        with transaction(self._engine) as connection:
            self._fence(connection)
            last = connection.execute(newest_gone).scalar()
            if last is None:
                return 0
            gone = BATCHES.c.number <= last
            highest = sql.select(BATCHES.c.producer, sql.func.max(BATCHES.c.sequence).label("sequence"))
            for row in connection.execute(highest.where(gone).group_by(BATCHES.c.producer)).all():
                _remember(connection, row.producer, row.sequence)
            return connection.execute(sql.delete(BATCHES).where(gone)).rowcount


def _forgotten_to(connection: Connection, producer: str) -> int:
    query = sql.select(PRODUCERS.c.forgotten_to).where(PRODUCERS.c.producer == producer)
    found = connection.execute(query).scalar()
    return -1 if found is None else int(found)


def _remember(connection: Connection, producer: str, sequence: int) -> None:
    to = max(sequence, _forgotten_to(connection, producer))
    connection.execute(sql.delete(PRODUCERS).where(PRODUCERS.c.producer == producer))
    connection.execute(sql.insert(PRODUCERS).values(producer=producer, forgotten_to=to))
