"""A table of pictures, read: the nearest to a query, one by its id, and all in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.errors import StoreError
from unseen.index.model_rows import LOADABLE
from unseen.index.vectors.query import combine, vectors_of
from unseen.load_options import LoadOptions
from unseen.postgres.connection import connect, database_errors, require_postgres
from unseen.postgres.filters import Filter, condition_of
from unseen.postgres.table import ITERATIVE_VERSION, ModelFacts, Table, vector_version
from unseen.postgres.vectors import Vector, parsed, register

if TYPE_CHECKING:
    from unseen.encoder import Encoder
    from unseen.postgres.connection import Connection
    from unseen.types import Floats

FIELDS = ("id", "key", "source", "width", "height", "label", "score", "metadata")
# Of a connection: what a statement may take, in ms; and nothing here writes.
SESSION = {"statement_timeout": "60000", "default_transaction_read_only": "on"}
COUNTED = 1_000_000  # rows up to which a table is counted; beyond, the planner's estimate is given
SPARE = 4  # times as many as are wanted: behind a filter, HNSW comes upon the nearest late
CANDIDATES = 100  # of a search in HNSW, at least
MOST_CANDIDATES = 1000  # pgvector takes no more


@dataclass(frozen=True)
class Match:
    """A picture of a table.

    Parameters
    ----------
    id : int
        Of its row.
    key : str
        What the job called it.
    source : str, optional
        The file that it is, on the machine of the job; None for what is no file of its own.
    cosine : float
        To the query.
    width, height : int, optional
        In pixels, upright.
    label : str, optional
        The best one, where the job had labels.
    score : float, optional
        Of that label.
    metadata : Mapping[str, Any]
        What its source said of it.
    """

    id: int
    key: str
    source: str | None
    cosine: float
    width: int | None
    height: int | None
    label: str | None
    score: float | None
    metadata: Mapping[str, Any]


class Gallery:
    """A table that `unseen job export --postgres` made, as one model sees it.

    It is one connection, for one thread at a time; one that broke is made anew.

    Parameters
    ----------
    url : str
        Of the database.
    table : Table
        Which of its tables.

    Raises
    ------
    MissingExtraError
        Without psycopg.
    SourceError
        If that is no address.
    StoreError
        If the database does not answer, or has no such table, or no pgvector.
    """

    def __init__(self, url: str, table: Table) -> None:
        require_postgres()
        self.url, self.table = url, table
        self._connection: Connection | None = None
        self._version: tuple[int, ...] = ()
        try:
            with self._reading() as connection:
                self.facts: ModelFacts = table.require(connection)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def options(self, overrides: Mapping[str, Any]) -> LoadOptions:
        """What loads the model of the table, but for what somebody chose otherwise.

        Parameters
        ----------
        overrides : Mapping[str, Any]
            Fields of LoadOptions.

        Returns
        -------
        LoadOptions
        """
        facts = self.facts
        recorded = LoadOptions(
            facts.model,
            None if "model" in overrides else facts.revision,
            precision=facts.precision if facts.precision in LOADABLE else "auto",
            exact=facts.exact,
        )
        return replace(recorded, **overrides)

    def check(self, encoder: Encoder) -> None:
        """Refuse a model whose embeddings cannot be compared with those of the table.

        Parameters
        ----------
        encoder : Encoder
            Of the queries.

        Raises
        ------
        StoreError
            If its fingerprint is another.
        """
        model = encoder.model
        if model.fingerprint != self.facts.fingerprint:
            raise StoreError(
                f"the table {self.table} has embeddings of {self.facts}, and {model.name} is "
                f"another model ({model.fingerprint[:12]}); load that one: -m {self.facts.model}"
            )

    def query_vector(
        self, encoder: Encoder, queries: Sequence[Any], without: Sequence[Any] = ()
    ) -> Floats:
        """One query of several, as `IndexView.query_vector` makes it.

        Parameters
        ----------
        encoder : Encoder
            Of the model of the table.
        queries, without : sequence
            Words, pictures or vectors; each may stand in a pair with its weight.

        Returns
        -------
        ndarray of shape (d,), float32
            Of length 1.
        """
        self.check(encoder)
        positive, negative = (
            vectors_of(terms, self.facts.dimension, lambda: encoder) for terms in (queries, without)
        )
        return combine(positive, negative)

    def search(
        self,
        query: Floats,
        *,
        top: int = 50,
        filters: Sequence[Filter] = (),
        exhaustive: bool = False,
    ) -> list[Match]:
        """The pictures nearest to a query, best first.

        Parameters
        ----------
        query : ndarray of shape (d,)
            Of length 1.
        top : int
            At most so many.
        filters : sequence of Filter
            Conditions that every row meets.
        exhaustive : bool
            Compare every vector, although there may be an HNSW index.

        Returns
        -------
        list of Match

        Raises
        ------
        StoreError
            If the database does not answer.
        """
        from psycopg import sql  # noqa: PLC0415 - an extra

        condition, values = condition_of(filters)
        statement = sql.SQL(
            "SELECT {}, 1 - (embedding <=> %s) FROM {} WHERE {} ORDER BY embedding <=> %s LIMIT %s"
        ).format(_fields(), self.table.identifier, condition)
        vector = Vector(query)
        is_iterative = self._version >= ITERATIVE_VERSION
        exhaustive = exhaustive or (not is_iterative and bool(filters or top > MOST_CANDIDATES))
        rows: list[Any] = []
        with self._reading() as connection:
            # HNSW gives up after some rows: where few of them pass the filters, all are compared.
            for every in (True,) if exhaustive else (False, True):
                limit = top * (SPARE if filters and not every else 1)
                with connection.transaction():
                    self._choose_plan(connection, limit, exhaustive=every)
                    bound = [vector, *values, vector, limit]
                    rows = connection.execute(statement, bound).fetchall()
                if len(rows) >= top or not filters:
                    break
        matches = [_match(row[:-1], float(row[-1])) for row in rows]
        return sorted(matches, key=lambda match: -match.cosine)[:top]

    def _choose_plan(self, connection: Connection, top: int, *, exhaustive: bool) -> None:
        """Whether HNSW may answer, and how far it looks: by itself it gives no more than 40.

        In relaxed order it drops no row that it comes upon late; they are sorted afterwards.
        """
        settings = {"hnsw.ef_search": str(min(max(2 * top, CANDIDATES), MOST_CANDIDATES))}
        if self._version >= ITERATIVE_VERSION:
            settings["hnsw.iterative_scan"] = "relaxed_order"
        if exhaustive:
            settings = {"enable_indexscan": "off"}
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, true)", [name, value])

    def match(self, picture: int) -> Match | None:
        """A picture by its id, with the cosine 1; None where there is none."""
        from psycopg import sql  # noqa: PLC0415 - an extra

        statement = sql.SQL("SELECT {} FROM {} WHERE id = %s").format(
            _fields(), self.table.identifier
        )
        with self._reading() as connection:
            row = connection.execute(statement, [picture]).fetchone()
        return None if row is None else _match(row, 1.0)

    def vector(self, picture: int) -> Floats | None:
        """The embedding of a picture, of length 1; None where there is none."""
        from psycopg import sql  # noqa: PLC0415 - an extra

        statement = sql.SQL(
            "SELECT embedding::text FROM {} WHERE id = %s AND embedding IS NOT NULL"
        ).format(self.table.identifier)
        with self._reading() as connection:
            row = connection.execute(statement, [picture]).fetchone()
        if row is None:
            return None
        vector = parsed(row[0])
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), dtype=np.float32)

    def page(
        self, offset: int, limit: int, filters: Sequence[Filter] = ()
    ) -> tuple[int, list[Match]]:
        """Some of the pictures, in the order in which they came.

        Parameters
        ----------
        offset, limit : int
            The first picture, and how many at most.
        filters : sequence of Filter
            Conditions that every row meets.

        Returns
        -------
        total : int
            Pictures with an embedding; of a large table an estimate.
        matches : list of Match
        """
        from psycopg import sql  # noqa: PLC0415 - an extra

        condition, values = condition_of(filters)
        statement = sql.SQL("SELECT {} FROM {} WHERE {} ORDER BY id LIMIT %s OFFSET %s").format(
            _fields(), self.table.identifier, condition
        )
        with self._reading() as connection:
            rows = (
                connection.execute(statement, [*values, limit, offset]).fetchall() if limit else []
            )
            total = self._count(connection, filters)
        return total, [_match(row, 1.0) for row in rows]

    def _count(self, connection: Connection, filters: Sequence[Filter]) -> int:
        from psycopg import sql  # noqa: PLC0415 - an extra

        if not filters:
            row = connection.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)",
                [self.table.identifier.as_string(connection)],
            ).fetchone()
            if row is not None and row[0] > COUNTED:
                return int(row[0])
        condition, values = condition_of(filters)
        counted = connection.execute(
            sql.SQL("SELECT count(*) FROM {} WHERE {}").format(self.table.identifier, condition),
            values,
        ).fetchone()
        return 0 if counted is None else int(counted[0])

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection that answers. StoreError."""
        with database_errors(self.url):
            yield self._answering()

    def _answering(self) -> Connection:
        import psycopg  # noqa: PLC0415 - an extra

        if self._connection is not None:
            try:
                self._connection.execute("SELECT 1")
            except psycopg.OperationalError:  # the server was started anew, or a network broke
                self.close()
            else:
                return self._connection
        connection = connect(self.url)
        try:
            for name, value in SESSION.items():
                connection.execute("SELECT set_config(%s, %s, false)", [name, value])
            self._version = vector_version(connection)
            if not self._version:
                raise StoreError("the database has no pgvector: CREATE EXTENSION vector")
            register(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection


def _fields() -> Any:
    from psycopg import sql  # noqa: PLC0415 - an extra

    return sql.SQL(", ").join(map(sql.Identifier, FIELDS))


def _match(row: Sequence[Any], cosine: float) -> Match:
    facts = dict(zip(FIELDS, row, strict=True))
    return Match(**{**facts, "cosine": cosine, "metadata": facts["metadata"] or {}})
