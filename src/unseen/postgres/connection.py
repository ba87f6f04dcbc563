"""A connection to PostgreSQL, and its errors as ours. Neither ever shows a password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from unseen.errors import MissingExtraError, SourceError, StoreError

Connection: TypeAlias = Any  # of psycopg, which need not be installed
CONNECT_SECONDS = 10
SECRETS = ("password", "sslpassword", "passfile")
FORM = (
    "give postgresql://USER@HOST/DATABASE, with the password in PGPASSWORD or in ~/.pgpass; or "
    "service=NAME"
)


def require_postgres() -> None:
    """MissingExtraError without psycopg."""
    try:
        import psycopg  # noqa: PLC0415, F401 - an extra
    except ImportError:
        raise MissingExtraError("PostgreSQL", "psycopg", "postgres") from None


def parameters(url: str) -> dict[str, str]:
    """What an address says, by the names of libpq. SourceError, which does not repeat it."""
    require_postgres()
    import psycopg  # noqa: PLC0415 - an extra
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.Error:
        raise SourceError(f"that is no address of a PostgreSQL database; {FORM}.") from None


def shown(url: str) -> str:
    """A database as messages and logs call it: machine, port and name, and nothing else.

    >>> shown("postgresql://ann:secret@db.example.org/photos")  # doctest: +SKIP
    'db.example.org/photos'
    """
    facts = parameters(url)
    host = facts.get("host") or facts.get("hostaddr") or "localhost"
    port = f":{facts['port']}" if facts.get("port", "5432") != "5432" else ""
    return f"{host}{port}/{facts.get('dbname') or facts.get('service') or ''}".rstrip("/")


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    """A connection that commits each statement, but for those in `transaction()`.

    Parameters
    ----------
    url : str
        As libpq takes it: ``postgresql://user@host/database``, or ``host=… dbname=…``.

    Yields
    ------
    psycopg.Connection

    Raises
    ------
    MissingExtraError
        Without psycopg.
    SourceError
        If that is no address.
    StoreError
        If the database does not answer, or refuses something.
    """
    with database_errors(url):
        connection = connect(url)
        try:
            yield connection
        finally:
            connection.close()


def connect(url: str) -> Connection:
    """A connection that is open until it is closed. Errors are those of psycopg."""
    facts = parameters(url)
    import psycopg  # noqa: PLC0415 - an extra

    more: dict[str, Any] = {"autocommit": True}
    if "connect_timeout" not in facts:
        more["connect_timeout"] = CONNECT_SECONDS
    if "application_name" not in facts:
        more["application_name"] = "unseen"
    return psycopg.connect(url, **more)


@contextmanager
def database_errors(url: str) -> Iterator[None]:
    """What psycopg raises, as a StoreError of one line."""
    require_postgres()
    import psycopg  # noqa: PLC0415 - an extra

    try:
        yield
    except psycopg.Error as error:
        raise StoreError(f"{shown(url)}: {_reason(error, url)}.") from None


def _reason(error: Exception, url: str) -> str:
    """The first line of an error, without what is secret in the address."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    reason = lines[0].strip().rstrip(".") if lines else type(error).__name__
    facts = parameters(url)
    for name in SECRETS:
        if facts.get(name):
            reason = reason.replace(facts[name], "***")
    return reason
