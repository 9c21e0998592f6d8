"""The catalog on a relational database, through SQLAlchemy."""

from collections.abc import Callable

import msgspec
import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine, Row

from martlet.errors import NotFound
from martlet.versions import CatalogState, VersionRecord
from registry_svc.catalog import Moved, Standing
from registry_svc.catalog_tables import DECISIONS, LANES, VERSIONS, transaction, unfenced
from registry_svc.journal import Decision, Move
from registry_svc.lane import Lane


class SqlCatalog:
    """See `registry_svc.catalog.Catalog`. `fence` is called first in every transaction that writes."""

    def __init__(self, engine: Engine, fence: Callable[[Connection], None] = unfenced) -> None:
        self._engine = engine
        self._fence = fence

    def standing(self, model: str) -> Standing:
        """Where a model stands."""
        newest = sql.select(sql.func.max(VERSIONS.c.version)).where(VERSIONS.c.model == model).scalar_subquery()
        query = sql.select(LANES, newest.label("newest")).where(LANES.c.model == model)
        with transaction(self._engine) as connection:
            row = connection.execute(query).first()
        return Standing(Lane(model)) if row is None else Standing(_lane(row.lane), row.decisions, row.newest or 0)

    def lanes(self) -> list[Lane]:
        """The lanes of all models, by name."""
        with transaction(self._engine) as connection:
            return [_lane(row.lane) for row in connection.execute(sql.select(LANES).order_by(LANES.c.model))]

    def commit(self, decision: Decision, standing: Standing, manifest: bytes = b"") -> None:
        """Writes a decision in one transaction."""
        try:
            with transaction(self._engine) as connection:
                self._fence(connection)
                _write_lane(connection, decision.lane, standing)
                if decision.added is not None:
                    _insert(connection, decision.added, manifest)
                for move in decision.moves:
                    _move(connection, decision.lane.model, move)
                _write_journal(connection, decision, standing.decisions + 1)
        except sql.exc.IntegrityError as error:
            raise Moved(f"model {decision.lane.model!r} has changed in the meantime") from error

    def find(self, model: str, digest: str) -> VersionRecord | None:
        """The version with this digest."""
        return self._one((VERSIONS.c.model == model) & (VERSIONS.c.digest == digest))

    def get(self, model: str, version: int) -> VersionRecord:
        """A version, with its manifest."""
        record = self._one((VERSIONS.c.model == model) & (VERSIONS.c.version == version))
        if record is None:
            raise NotFound(f"model {model!r} has no version {version}")
        return record

    def versions(self, model: str, after: int, limit: int, *, with_manifests: bool) -> list[VersionRecord]:
        """At most `limit` versions above a number, oldest first."""
        columns = [column for column in VERSIONS.c if with_manifests or column is not VERSIONS.c.manifest]
        this = (VERSIONS.c.model == model) & (VERSIONS.c.version > after)
        query = sql.select(*columns).where(this).order_by(VERSIONS.c.version).limit(limit)
        with transaction(self._engine) as connection:
            return [_record(row) for row in connection.execute(query)]

    def journal(self, model: str, after: int = 0, limit: int | None = None) -> list[Decision]:
        """A model's decisions, oldest first."""
        this = (DECISIONS.c.model == model) & (DECISIONS.c.number > after)
        query = sql.select(DECISIONS.c.decision).where(this).order_by(DECISIONS.c.number).limit(limit)
        with transaction(self._engine) as connection:
            return [msgspec.json.decode(row.decision, type=Decision) for row in connection.execute(query)]

    def _one(self, this: sql.ColumnElement[bool]) -> VersionRecord | None:
        with transaction(self._engine) as connection:
            row = connection.execute(sql.select(VERSIONS).where(this)).first()
        return None if row is None else _record(row)


def _write_lane(connection: Connection, lane: Lane, standing: Standing) -> None:
    """Comes first in the transaction: from here on its row is locked, so that nothing else can decide."""
    values = {"lane": msgspec.json.encode(lane), "decisions": standing.decisions + 1}
    if not standing.decisions:
        connection.execute(sql.insert(LANES).values(model=lane.model, **values))
        return
    unmoved = (LANES.c.model == lane.model) & (LANES.c.decisions == standing.decisions)
    if connection.execute(sql.update(LANES).where(unmoved).values(values)).rowcount != 1:
        raise Moved(f"model {lane.model!r} has changed in the meantime")


def _insert(connection: Connection, record: VersionRecord, manifest: bytes) -> None:
    values = {column.name: getattr(record, column.name) for column in VERSIONS.c}
    connection.execute(sql.insert(VERSIONS).values(values | {"state": record.state.value, "manifest": manifest}))


def _move(connection: Connection, model: str, move: Move) -> None:
    values: dict[str, object] = {"state": move.state.value} | ({"reason": move.reason} if move.reason else {})
    this = (VERSIONS.c.model == model) & (VERSIONS.c.version == move.version)
    connection.execute(sql.update(VERSIONS).where(this).values(values))


def _write_journal(connection: Connection, decision: Decision, number: int) -> None:
    connection.execute(
        sql.insert(DECISIONS).values(
            model=decision.lane.model,
            number=number,
            kind=decision.kind.value,
            time_us=decision.time_us,
            decision=msgspec.json.encode(decision),
        )
    )


def _lane(encoded: bytes) -> Lane:
    return msgspec.json.decode(encoded, type=Lane)


def _record(row: Row[tuple[object, ...]]) -> VersionRecord:
    values = dict(row._mapping)  # noqa: SLF001  SQLAlchemy's public name for a row as a mapping
    values["state"] = CatalogState(values["state"])
    return VersionRecord(**values)
