"""The judge's log on a relational database, through SQLAlchemy."""

from collections.abc import Callable

import msgspec
import sqlalchemy as sql
from sqlalchemy.engine import Connection, Engine

from martlet.errors import Corrupt
from martlet.evidence import EvidenceBatch
from registry_svc.catalog import Moved
from registry_svc.catalog_tables import EVIDENCE, JUDGES, transaction, unfenced
from registry_svc.judge_log import JudgedBatch
from registry_svc.model_judge import JUDGE_FORMAT, JudgeRecord


class SqlJudgeLog:
    """See `registry_svc.judge_log.JudgeLog`. `fence` is called first in every transaction that writes."""

    def __init__(self, engine: Engine, fence: Callable[[Connection], None] = unfenced) -> None:
        self._engine = engine
        self._fence = fence

    def load(self, model: str) -> JudgeRecord:
        """The judge's record."""
        with transaction(self._engine) as connection:
            found = connection.execute(sql.select(JUDGES.c.record).where(JUDGES.c.model == model)).scalar()
        if found is None:
            return JudgeRecord()
        record = msgspec.msgpack.decode(found, type=JudgeRecord)
        if record.format != JUDGE_FORMAT:
            raise Corrupt(f"the judge's record of {model!r} has format {record.format}, known here: {JUDGE_FORMAT}")
        return record

    def batches(self, model: str) -> int:
        """How many batches were judged."""
        with transaction(self._engine) as connection:
            return connection.execute(sql.select(JUDGES.c.batches).where(JUDGES.c.model == model)).scalar() or 0

    def add(self, judged: JudgedBatch, record: JudgeRecord) -> None:
        """Writes a batch and the record after it."""
        model = judged.batch.model
        try:
            with transaction(self._engine) as connection:
                self._fence(connection)
                _write_record(connection, model, record)
                connection.execute(
                    sql.insert(EVIDENCE).values(
                        model=model,
                        number=judged.number,
                        decisions=judged.decisions,
                        batch=msgspec.msgpack.encode(judged.batch),
                    )
                )
        except sql.exc.IntegrityError as error:
            raise Moved(f"the judge of {model!r} has gone on in the meantime") from error

    def read(self, model: str, after: int, limit: int) -> list[JudgedBatch]:
        """At most `limit` batches after a number, oldest first."""
        this = (EVIDENCE.c.model == model) & (EVIDENCE.c.number > after)
        query = sql.select(EVIDENCE).where(this).order_by(EVIDENCE.c.number).limit(limit)
        with transaction(self._engine) as connection:
            return [
                JudgedBatch(row.number, row.decisions, msgspec.msgpack.decode(row.batch, type=EvidenceBatch))
                for row in connection.execute(query)
            ]

    def forget(self, model: str, keep: int) -> int:
        """Drops all but the newest batches."""
        newest = sql.select(sql.func.max(EVIDENCE.c.number)).where(EVIDENCE.c.model == model).scalar_subquery()
        gone = (EVIDENCE.c.model == model) & (EVIDENCE.c.number <= newest - keep)
        with transaction(self._engine) as connection:
            self._fence(connection)
            return connection.execute(sql.delete(EVIDENCE).where(gone)).rowcount


def _write_record(connection: Connection, model: str, record: JudgeRecord) -> None:
    """Comes first in the transaction: from here on the model's row is locked."""
    encoded = msgspec.msgpack.encode(record)
    if record.batches == 1:
        connection.execute(sql.insert(JUDGES).values(model=model, batches=1, record=encoded))
        return
    unmoved = (JUDGES.c.model == model) & (JUDGES.c.batches == record.batches - 1)
    changed = connection.execute(sql.update(JUDGES).where(unmoved).values(batches=record.batches, record=encoded))
    if changed.rowcount != 1:
        raise Moved(f"the judge of {model!r} has gone on in the meantime")
