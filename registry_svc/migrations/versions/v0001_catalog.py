"""The catalog, format 1: lanes, versions, decisions, measurements, the judge, the lease."""

import sqlalchemy as sql
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes all tables."""
    op.create_table(
        "catalog_format", sql.Column("format", sql.Integer, primary_key=True, autoincrement=False, nullable=False)
    )
    op.bulk_insert(sql.table("catalog_format", sql.column("format", sql.Integer)), [{"format": 1}])
    _lanes_and_versions()
    _measurements()
    _judge_and_lease()


def downgrade() -> None:
    """Drops all tables, with all that is in them."""
    for table in (
        "measurement_producers",
        "leases",
        "judges",
        "evidence_batches",
        "measurement_batches",
        "decisions",
        "versions",
        "lanes",
        "catalog_format",
    ):
        op.drop_table(table)


def _lanes_and_versions() -> None:
    op.create_table(
        "lanes",
        sql.Column("model", sql.String(200), primary_key=True),
        sql.Column("lane", sql.LargeBinary, nullable=False),
        sql.Column("decisions", sql.BigInteger, nullable=False),
    )
    op.create_table(
        "versions",
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
    op.create_table(
        "decisions",
        sql.Column("model", sql.String(200), primary_key=True),
        sql.Column("number", sql.BigInteger, primary_key=True, autoincrement=False),
        sql.Column("kind", sql.String(20), nullable=False),
        sql.Column("time_us", sql.BigInteger, nullable=False),
        sql.Column("decision", sql.LargeBinary, nullable=False),
    )


def _measurements() -> None:
    op.create_table(
        "measurement_batches",
        sql.Column("number", sql.BigInteger().with_variant(sql.Integer, "sqlite"), primary_key=True),
        sql.Column("producer", sql.String(200), nullable=False),
        sql.Column("sequence", sql.BigInteger, nullable=False),
        sql.Column("batch", sql.LargeBinary, nullable=False),
        sql.UniqueConstraint("producer", "sequence"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "measurement_producers",
        sql.Column("producer", sql.String(200), primary_key=True),
        sql.Column("forgotten_to", sql.BigInteger, nullable=False),
    )


def _judge_and_lease() -> None:
    op.create_table(
        "evidence_batches",
        sql.Column("model", sql.String(200), primary_key=True),
        sql.Column("number", sql.BigInteger, primary_key=True, autoincrement=False),
        sql.Column("decisions", sql.BigInteger, nullable=False),
        sql.Column("batch", sql.LargeBinary, nullable=False),
    )
    op.create_table(
        "judges",
        sql.Column("model", sql.String(200), primary_key=True),
        sql.Column("batches", sql.BigInteger, nullable=False),
        sql.Column("record", sql.LargeBinary, nullable=False),
    )
    op.create_table(
        "leases",
        sql.Column("name", sql.String(40), primary_key=True),
        sql.Column("holder", sql.String(200), nullable=False),
        sql.Column("token", sql.BigInteger, nullable=False),
        sql.Column("expires_us", sql.BigInteger, nullable=False),
    )
