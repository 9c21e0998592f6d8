"""Where history comes from: Parquet, CSV, or a query of a database. Rows come in chunks of columns, in their order."""

import csv
import importlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from martlet.errors import InvalidInput

CHUNK: Final = 4096
NEEDED: Final = "pip install martlet[backfill]"

Chunk = Mapping[str, Sequence[Any]]


def rows_of(source: str, columns: Sequence[str], query: str = "") -> Iterator[Chunk]:
    """The rows of a source: a path ending in .parquet or .csv, or a SQLAlchemy URL with a query.

    Raises:
        InvalidInput: it is not there, of no known kind, or lacks a column.
    """
    if "://" in source:
        return _from_database(source, columns, query)
    path = Path(source)
    if not path.is_file():
        raise InvalidInput(f"there is no file {source}")
    if path.suffix == ".parquet":
        return _from_parquet(path, columns)
    if path.suffix == ".csv":
        return _from_csv(path, columns)
    raise InvalidInput(f"{source}: history is read from .parquet or .csv, or from a database by its URL")


def parquet() -> Any:
    """The Parquet library.

    Raises:
        InvalidInput: it is not installed.
    """
    return _imported("pyarrow.parquet")


def arrow() -> Any:
    """The library of its columns. Raises as `parquet` does."""
    return _imported("pyarrow")


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InvalidInput(f"Parquet needs pyarrow: {NEEDED}") from error


def _from_parquet(path: Path, columns: Sequence[str]) -> Iterator[Chunk]:
    with parquet().ParquetFile(path) as file:
        _check(path, columns, file.schema_arrow.names)
        for batch in file.iter_batches(CHUNK, columns=list(columns)):
            yield {name: batch.column(name).to_pylist() for name in columns}


def _from_csv(path: Path, columns: Sequence[str]) -> Iterator[Chunk]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        _check(path, columns, reader.fieldnames or ())
        while rows := list(islice(reader, CHUNK)):
            yield {name: [_value(row[name]) for row in rows] for name in columns}


def _from_database(url: str, columns: Sequence[str], query: str) -> Iterator[Chunk]:
    try:
        sql: Any = importlib.import_module("sqlalchemy")
    except ImportError as error:
        raise InvalidInput(f"a database needs SQLAlchemy: {NEEDED}") from error
    if not query.strip():
        raise InvalidInput("a database needs --query: the SELECT whose rows are the history, ordered by time")
    engine = sql.create_engine(url)
    try:
        with engine.connect().execution_options(stream_results=True) as connection:
            found = connection.execute(sql.text(query))
            _check(url, columns, list(found.keys()))
            while rows := found.mappings().fetchmany(CHUNK):
                yield {name: [row[name] for row in rows] for name in columns}
    except sql.exc.SQLAlchemyError as error:
        raise InvalidInput(
            f"{engine.url.render_as_string(hide_password=True)}: {str(error).splitlines()[0]}"
        ) from error
    finally:
        engine.dispose()


def _check(source: object, wanted: Sequence[str], there: Sequence[str]) -> None:
    lacking = [name for name in wanted if name not in there]
    if lacking:
        raise InvalidInput(f"{source} has no column {lacking[0]!r} (it has {', '.join(there)})")


def _value(text: str | None) -> Any:
    """A CSV's field: a whole number, a number, a text; None where it is empty."""
    if not text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
