"""The catalog on a relational database, through SQLAlchemy: SQLite when embedded."""

import msgspec
import sqlalchemy as sql
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine, Row
from sqlalchemy.engine.interfaces import DBAPIConnection

from martlet.errors import Conflict, NotFound
from martlet.measurement import MeasurementBatch
from martlet.versions import CatalogState, VersionRecord
from registry_svc.rollout import Decision, Lane

METADATA = sql.MetaData()

VERSIONS = sql.Table(
    "versions",
    METADATA,
    sql.Column("model", sql.String(200), primary_key=True),
    sql.Column("version", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("digest", sql.String(80), nullable=False),
    sql.Column("parent_digest", sql.String(80), nullable=False),
    sql.Column("epoch", sql.BigInteger, nullable=False),
    sql.Column("state", sql.Integer, nullable=False),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("kind", sql.String(20), nullable=False),
    sql.Column("published_time_us", sql.BigInteger, nullable=False),
    sql.Column("manifest", sql.LargeBinary, nullable=False),
    sql.UniqueConstraint("model", "digest"),
)
LANES = sql.Table(
    "lanes",
    METADATA,
    sql.Column("model", sql.String(200), primary_key=True),
    sql.Column("epoch", sql.BigInteger, nullable=False),
    sql.Column("revision", sql.BigInteger, nullable=False),
    sql.Column("lane", sql.LargeBinary, nullable=False),
)
DECISIONS = sql.Table(
    "decisions",
    METADATA,
    sql.Column("model", sql.String(200), primary_key=True),
    sql.Column("epoch", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("revision", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("time_us", sql.BigInteger, nullable=False),
    sql.Column("decision", sql.LargeBinary, nullable=False),
)
BATCHES = sql.Table(
    "measurement_batches",
    METADATA,
    sql.Column("producer", sql.String(200), primary_key=True),
    sql.Column("sequence", sql.BigInteger, primary_key=True, autoincrement=False),
    sql.Column("batch", sql.LargeBinary, nullable=False),
)


class SqlCatalog:
    """See `registry_svc.catalog.Catalog`. One connection pool; used from one thread."""

    def __init__(self, url: str) -> None:
        self._engine = sql.create_engine(url)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _sqlite_settings)
        METADATA.create_all(self._engine)

    @property
    def engine(self) -> Engine:
        """The engine, for migrations and backups."""
        return self._engine

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def find(self, model: str, digest: str) -> VersionRecord | None:
        """The version with this digest."""
        query = sql.select(VERSIONS).where(VERSIONS.c.model == model, VERSIONS.c.digest == digest)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else _record(row)

    def get(self, model: str, version: int) -> VersionRecord:
        """A version, with its manifest."""
        query = sql.select(VERSIONS).where(VERSIONS.c.model == model, VERSIONS.c.version == version)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise NotFound(f"model {model!r} has no version {version}")
        return _record(row)

    def versions(self, model: str, after: int, limit: int, *, with_manifests: bool) -> list[VersionRecord]:
        """Versions above a number, oldest first."""
        columns = [c for c in VERSIONS.c if with_manifests or c.name != "manifest"]
        query = (
            sql.select(*columns)
            .where(VERSIONS.c.model == model, VERSIONS.c.version > after)
            .order_by(VERSIONS.c.version)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            return [_record(row) for row in connection.execute(query)]

    def lanes(self) -> list[Lane]:
        """The lanes of all models."""
        with self._engine.connect() as connection:
            rows = connection.execute(sql.select(LANES.c.lane).order_by(LANES.c.model))
            return [msgspec.json.decode(row.lane, type=Lane) for row in rows]

    def lane(self, model: str) -> Lane | None:
        """A model's lane."""
        with self._engine.connect() as connection:
            row = connection.execute(sql.select(LANES.c.lane).where(LANES.c.model == model)).first()
        return None if row is None else msgspec.json.decode(row.lane, type=Lane)

    def next_version(self, model: str) -> int:
        """The number of the model's next version."""
        query = sql.select(sql.func.max(VERSIONS.c.version)).where(VERSIONS.c.model == model)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar() or 0) + 1

    def reject(self, record: VersionRecord) -> None:
        """Records a version that was refused."""
        with self._engine.begin() as connection:
            _insert(connection, record)

    def apply(
        self, decision: Decision, before: Lane | None, now_us: int, admitted: VersionRecord | None = None
    ) -> None:
        """Changes a lane, its versions' states and the journal in one transaction."""
        lane = decision.lane
        try:
            with self._engine.begin() as connection:
                if admitted is not None:
                    _insert(connection, admitted)
                _move_lane(connection, lane, before)
                _set_states(connection, lane, before)
                connection.execute(
                    sql.insert(DECISIONS).values(
                        model=lane.model,
                        epoch=lane.epoch,
                        revision=lane.revision,
                        time_us=now_us,
                        decision=msgspec.json.encode(decision),
                    )
                )
        except sql.exc.IntegrityError as error:
            raise Conflict(f"model {lane.model!r} has changed in the meantime") from error

    def mark_failed(self, model: str, version: int, reason: str) -> None:
        """Records that replicas cannot load a version."""
        with self._engine.begin() as connection:
            _set_state(connection, model, version, CatalogState.REJECTED, reason)

    def journal(self, model: str) -> list[Decision]:
        """All decisions about a model's lane, oldest first."""
        query = (
            sql.select(DECISIONS.c.decision)
            .where(DECISIONS.c.model == model)
            .order_by(DECISIONS.c.epoch, DECISIONS.c.revision)
        )
        with self._engine.connect() as connection:
            return [msgspec.json.decode(row.decision, type=Decision) for row in connection.execute(query)]

    def add_measurements(self, batch: MeasurementBatch) -> bool:
        """Adds measurements, once."""
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    sql.insert(BATCHES).values(
                        producer=batch.producer, sequence=batch.sequence, batch=msgspec.json.encode(batch)
                    )
                )
        except sql.exc.IntegrityError:
            return False
        return True


def _sqlite_settings(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _insert(connection: Connection, record: VersionRecord) -> None:
    values = {column.name: getattr(record, column.name) for column in VERSIONS.c}
    connection.execute(sql.insert(VERSIONS).values(values | {"state": record.state.value}))


def _move_lane(connection: Connection, lane: Lane, before: Lane | None) -> None:
    values = {"epoch": lane.epoch, "revision": lane.revision, "lane": msgspec.json.encode(lane)}
    if before is None:
        connection.execute(sql.insert(LANES).values(model=lane.model, **values))
        return
    unchanged = (LANES.c.model == lane.model) & (LANES.c.epoch == before.epoch) & (LANES.c.revision == before.revision)
    if connection.execute(sql.update(LANES).where(unchanged).values(values)).rowcount != 1:
        raise Conflict(f"model {lane.model!r} has changed in the meantime")


def _set_states(connection: Connection, lane: Lane, before: Lane | None) -> None:
    members = lane.members()
    for version, state in members.items():
        _set_state(connection, lane.model, version, state)
    for version in set(before.members() if before else ()) - set(members):
        _set_state(connection, lane.model, version, CatalogState.RETIRED)


def _set_state(connection: Connection, model: str, version: int, state: CatalogState, reason: str = "") -> None:
    values: dict[str, object] = {"state": state.value}
    if reason:
        values["reason"] = reason
    this = (VERSIONS.c.model == model) & (VERSIONS.c.version == version)
    connection.execute(sql.update(VERSIONS).where(this).values(values))


def _record(row: Row[tuple[object, ...]]) -> VersionRecord:
    values = dict(row._mapping)  # noqa: SLF001  SQLAlchemy's public name for a row as a mapping
    values["state"] = CatalogState(values["state"])
    return VersionRecord(**values)
