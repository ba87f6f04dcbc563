"""A table of pictures: its name, its columns, and which model its embeddings are of.

The facts of the model are the comment of the table, as JSON: they are made, copied and dropped with
it. Names are quoted and values are bound by psycopg; no statement is put together as text.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from unseen.errors import SourceError, StoreError

if TYPE_CHECKING:
    from psycopg import sql

    from unseen.postgres.connection import Connection

FORMAT = "unseen-postgres-1"
DEFAULT_TABLE = "unseen"
NAME_BYTES = 63  # of a name, which PostgreSQL would cut
# Columns that are written → their types; `embedding` has the dimension of the model with it.
COLUMNS = {
    "key": "text",
    "source": "text",
    "label": "text",
    "score": "float4",
    "unknown": "bool",
    "labels": "jsonb",
    "likely": "jsonb",
    "evidence": "float4",
    "embedding": "vector",
    "sha256": "text",
    "width": "int4",
    "height": "int4",
    "error": "text",
    "error_class": "text",
    "metadata": "jsonb",
}
HNSW_VERSION = (0, 5)  # of pgvector
HNSW_DIMENSION = 2000  # of a vector that it takes
ITERATIVE_VERSION = (0, 8)  # which goes on in the graph until enough rows pass a filter


@dataclass(frozen=True)
class ModelFacts:
    """Which model made the embeddings of a table, and how.

    Parameters
    ----------
    model : str
        Hub id, folder, file or `builtin`.
    revision : str, optional
        Branch, tag or commit.
    fingerprint : str
        Of every file of the model that can change a result.
    preprocess : str
        How pictures became arrays.
    precision : str
        fp32, fp16, bf16 or int8.
    exact : bool
        Whether JPEGs were decoded in full.
    dimension : int
        Numbers of an embedding.
    """

    model: str
    revision: str | None
    fingerprint: str
    preprocess: str
    precision: str
    exact: bool
    dimension: int

    @property
    def comparable(self) -> tuple[str, str, str, bool, int]:
        """What two embeddings must share to be compared."""
        return (self.fingerprint, self.preprocess, self.precision, self.exact, self.dimension)

    def __str__(self) -> str:
        exact = ", exact" if self.exact else ""
        return f"{self.model} ({self.fingerprint[:12]}, {self.precision}{exact})"

    def to_text(self) -> str:
        """The comment of a table."""
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_text(cls, text: str) -> ModelFacts | None:
        """What `to_text` gave; None for anything else."""
        try:
            facts = json.loads(text)
            if facts.pop("format") != FORMAT:
                return None
            return cls(**facts)
        except (ValueError, TypeError, AttributeError, KeyError):
            return None


class Table:
    """A table by its name, `photos` or `schema.photos`.

    Parameters
    ----------
    name : str
        Any characters; a dot stands between a schema and a table.

    Raises
    ------
    SourceError
        If that is no name.

    Examples
    --------
    >>> str(Table("archive.photos"))
    'archive.photos'
    """

    def __init__(self, name: str = DEFAULT_TABLE) -> None:
        parts = tuple(name.split("."))
        if len(parts) > 2 or not all(_is_name(part) for part in parts):
            raise SourceError(
                f"--table {name!r} is no name of a table; give NAME or SCHEMA.NAME, of up to "
                f"{NAME_BYTES} bytes each."
            )
        self._parts = parts

    def __str__(self) -> str:
        return ".".join(self._parts)

    @property
    def identifier(self) -> sql.Identifier:
        """The name, quoted."""
        from psycopg import sql  # noqa: PLC0415 - an extra

        return sql.Identifier(*self._parts)

    def facts(self, connection: Connection) -> ModelFacts | None:
        """The model of the table; None where there is no table. StoreError for one of others."""
        row = connection.execute(
            "SELECT obj_description(oid, 'pg_class') FROM pg_class WHERE oid = to_regclass(%s)",
            [self.identifier.as_string(connection)],
        ).fetchone()
        if row is None:
            return None
        facts = ModelFacts.from_text(row[0] or "")
        if facts is None:
            raise StoreError(
                f"the table {self} was not made by `unseen job export`; give another --table."
            )
        return facts

    def require(self, connection: Connection) -> ModelFacts:
        """The model of the table. StoreError where there is none."""
        facts = self.facts(connection)
        if facts is None:
            raise StoreError(
                f"there is no table {self}; make it: unseen job export JOB --postgres … --table "
                f"{self}"
            )
        return facts

    def create(self, connection: Connection, facts: ModelFacts) -> None:
        """Make the table where there is none. StoreError where it is of another model."""
        from psycopg import sql  # noqa: PLC0415 - an extra

        earlier = self.facts(connection)
        if earlier is None:
            columns = [
                sql.SQL("{} {}").format(sql.Identifier(name), _column_type(name, kind, facts))
                for name, kind in COLUMNS.items()
            ]
            connection.execute(
                sql.SQL(
                    "CREATE TABLE {} (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, {})"
                ).format(self.identifier, sql.SQL(", ").join(columns))
            )
            # A comment takes no bound values: psycopg quotes it.
            connection.execute(
                sql.SQL("COMMENT ON TABLE {} IS {}").format(
                    self.identifier, sql.Literal(facts.to_text())
                )
            )
        elif earlier.comparable != facts.comparable:
            raise StoreError(
                f"the table {self} has embeddings of {earlier}, and these are of {facts}, which "
                "cannot be compared; give another --table."
            )

    def create_graph(self, connection: Connection, facts: ModelFacts) -> None:
        """An HNSW index of the embeddings, where there is none. StoreError."""
        from psycopg import sql  # noqa: PLC0415 - an extra

        version = vector_version(connection)
        if version < HNSW_VERSION:
            raise StoreError(f"pgvector {_dotted(version)} has no HNSW; it takes 0.5 or later.")
        if facts.dimension > HNSW_DIMENSION:
            raise StoreError(
                f"HNSW takes up to {HNSW_DIMENSION:,} numbers, and embeddings of {facts.model} "
                f"have {facts.dimension:,}; leave --hnsw out."
            )
        name = sql.Identifier(f"{self._parts[-1][:40]}_{facts.fingerprint[:8]}_hnsw")
        connection.execute(
            sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} USING hnsw ({} vector_cosine_ops)").format(
                name, self.identifier, sql.Identifier("embedding")
            )
        )


def require_vectors(connection: Connection, *, create: bool = False) -> None:
    """StoreError where pgvector is not there, and cannot be made."""
    import psycopg  # noqa: PLC0415 - an extra

    if create:
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except psycopg.Error as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise StoreError(
                f"pgvector cannot be used: {reason}. It is an extension of PostgreSQL, which the "
                "machine of the database needs (Debian: postgresql-17-pgvector), and which its "
                "administrator lets in by: CREATE EXTENSION vector"
            ) from None
    if not vector_version(connection):
        raise StoreError("the database has no pgvector: CREATE EXTENSION vector")


def vector_version(connection: Connection) -> tuple[int, ...]:
    """The version of pgvector, such as (0, 8, 1); () where it is not there."""
    row = connection.execute(
        "SELECT extversion FROM pg_extension WHERE extname = %s", ["vector"]
    ).fetchone()
    return () if row is None else tuple(int(n) for n in str(row[0]).split(".") if n.isdecimal())


def _column_type(name: str, kind: str, facts: ModelFacts) -> sql.Composable:
    from psycopg import sql  # noqa: PLC0415 - an extra

    if name == "key":
        return sql.SQL("text NOT NULL UNIQUE")
    if name == "embedding":
        return sql.SQL("vector({})").format(sql.Literal(facts.dimension))
    return sql.Identifier(kind)


def _is_name(part: str) -> bool:
    return 0 < len(part.encode("utf-8", "replace")) <= NAME_BYTES and "\0" not in part


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
