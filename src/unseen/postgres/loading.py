"""Rows → a table: copied beside it, then put in by their keys, all or none of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from unseen.postgres.connection import connected
from unseen.postgres.table import COLUMNS, ModelFacts, Table, require_vectors
from unseen.postgres.vectors import Vector, register

if TYPE_CHECKING:
    from unseen.postgres.connection import Connection

STAGING = "unseen_staging"


def load_rows(
    url: str,
    table: Table,
    facts: ModelFacts,
    rows: Iterable[Mapping[str, Any]],
    *,
    hnsw: bool = False,
) -> int:
    """Put rows into a table, which is made where there is none; a key that is there is replaced.

    It is one transaction: who reads the table sees all of it or nothing.

    Parameters
    ----------
    url : str
        Of the database.
    table : Table
        Where they go.
    facts : ModelFacts
        The model of their embeddings.
    rows : iterable of Mapping
        Column → value, of `COLUMNS`; one that is not there is NULL. An embedding is an array (d,).
    hnsw : bool
        Make an HNSW index of the embeddings, too.

    Returns
    -------
    int
        How many rows these were.

    Raises
    ------
    MissingExtraError
        Without psycopg.
    StoreError
        If the table is of another model, or not ours; or the database refuses something.
    """
    with connected(url) as connection:
        require_vectors(connection, create=True)
        register(connection)
        with connection.transaction():
            # One at a time: two that put the same keys in would wait for one another for ever.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [str(table)])
            table.create(connection, facts)
            count = _copy(connection, facts, rows)
            _upsert(connection, table)
            if hnsw:
                table.create_graph(connection, facts)
        _analyse(connection, table)
    return count


def _copy(connection: Connection, facts: ModelFacts, rows: Iterable[Mapping[str, Any]]) -> int:
    from psycopg import sql  # noqa: PLC0415 - an extra

    staging = sql.Identifier(STAGING)
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
    types = [
        sql.SQL("{} {}").format(sql.Identifier(name), sql.Identifier(kind))
        for name, kind in COLUMNS.items()
    ]
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(
            staging, sql.SQL(", ").join(types)
        )
    )
    count = 0
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(staging, columns)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types([*COLUMNS.values()])
        for row in rows:
            copy.write_row([_cell(kind, row.get(name)) for name, kind in COLUMNS.items()])
            count += 1
    return count


def _upsert(connection: Connection, table: Table) -> None:
    from psycopg import sql  # noqa: PLC0415 - an extra

    names = [sql.Identifier(name) for name in COLUMNS]
    changes = [
        sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name))
        for name in COLUMNS
        if name != "key"
    ]
    connection.execute(
        sql.SQL(
            "INSERT INTO {} ({columns}) SELECT {columns} FROM {} ON CONFLICT (key) DO UPDATE SET {}"
        ).format(
            table.identifier,
            sql.Identifier(STAGING),
            sql.SQL(", ").join(changes),
            columns=sql.SQL(", ").join(names),
        )
    )


def _analyse(connection: Connection, table: Table) -> None:
    """What the planner knows of the table is brought up to date."""
    from psycopg import sql  # noqa: PLC0415 - an extra

    connection.execute(sql.SQL("ANALYZE {}").format(table.identifier))


def _cell(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "vector":
        return Vector(value)
    return storable(value)


def storable(value: Any) -> Any:
    """A text or JSON value as PostgreSQL can hold it, which knows no NUL and no half of a pair.

    >>> storable({"a": "x\\0y", "b": float("nan")})
    {'a': 'x\ufffdy', 'b': None}
    """
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {storable(str(name)): storable(item) for name, item in value.items()}
    if isinstance(value, list):
        return [storable(item) for item in value]
    return value
