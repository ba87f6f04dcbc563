"""Filters of a search: `camera=north`, `height>=1000`, as conditions with bound values."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from unseen.errors import SourceError

if TYPE_CHECKING:
    from psycopg import sql

TERM = re.compile(r"\s*(.+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)
TEXTS, NUMBERS = ("key", "label", "sha256", "error_class"), ("score", "width", "height", "evidence")
METADATA = "metadata."  # before a field that is called as a column is
LONGEST = 4096  # characters of a filter
TEXT = '%s::text COLLATE "C"'
# A number in a column of a CSV, which is text.
WRITTEN_NUMBER = r"^[-+]?[0-9]{1,15}(\.[0-9]{1,17})?([eE][-+]?[0-9]{1,2})?$"


@dataclass(frozen=True)
class Filter:
    """A condition on the rows of a search.

    Parameters
    ----------
    name : str
        A column, or else a field of the metadata.
    operator : str
        One of = != < <= > >=.
    value : str
        As it was written.
    """

    name: str
    operator: str
    value: str


def parse_filter(text: str) -> Filter:
    """`camera=north` → a filter.

    Parameters
    ----------
    text : str
        NAME, one of ``= != < <= > >=``, VALUE. The name is ``key``, ``label``, ``score``,
        ``width``, ``height``, ``evidence``, ``sha256``, ``error_class``, or a field of the metadata
        (``metadata.label`` where that is called as a column is).

    Returns
    -------
    Filter

    Raises
    ------
    SourceError
        If that is no filter.

    Examples
    --------
    >>> parse_filter("year >= 2019")
    Filter(name='year', operator='>=', value='2019')
    """
    match = TERM.fullmatch(text) if len(text) <= LONGEST and "\0" not in text else None
    if match is None:
        raise SourceError(
            f"{text[:60]!r} is no filter; give NAME=VALUE with one of = != < <= > >=, such as "
            "camera=north or height>=1000."
        )
    condition = Filter(*match.groups())
    if condition.name in NUMBERS and _number(condition.value) is None:
        raise SourceError(f"{text!r}: {condition.name} is compared with a number.")
    return condition


def condition_of(filters: Sequence[Filter]) -> tuple[sql.Composable, list[Any]]:
    """What follows WHERE, and its values; rows without an embedding never count."""
    from psycopg import sql  # noqa: PLC0415 - an extra

    conditions: list[sql.Composable] = [sql.SQL("embedding IS NOT NULL")]
    values: list[Any] = []
    for one in filters:
        condition, bound = _column(one) if one.name in TEXTS + NUMBERS else _field(one)
        conditions.append(condition)
        values += bound
    return sql.SQL(" AND ").join(conditions), values


def _column(one: Filter) -> tuple[sql.Composable, list[Any]]:
    from psycopg import sql  # noqa: PLC0415 - an extra

    if one.name in NUMBERS:
        return _comparison(one, sql.Identifier(one.name), "%s::float8"), [_number(one.value)]
    return _comparison(one, sql.Identifier(one.name), TEXT), [one.value]


def _field(one: Filter) -> tuple[sql.Composable, list[Any]]:
    """A field of the metadata: a number is compared with numbers, other words with texts."""
    from psycopg import sql  # noqa: PLC0415 - an extra

    name, number = one.name.removeprefix(METADATA), _number(one.value)
    if one.operator in ("=", "!="):
        equal = sql.SQL("coalesce((metadata -> %s) = ANY(%s::jsonb[]), false)")
        alike = [json.dumps(one.value), *_as_json(one.value)]
        return (equal if one.operator == "=" else sql.SQL("NOT ") + equal), [name, alike]
    if number is not None:
        # The case keeps the cast from what is no number, in whichever order a plan tests them.
        field = sql.SQL(
            "(CASE WHEN jsonb_typeof(metadata -> %s) = 'number' OR metadata ->> %s ~ %s "
            "THEN (metadata ->> %s)::numeric END)"
        )
        value = Decimal(repr(number))
        return _comparison(one, field, "%s::numeric"), [name, name, WRITTEN_NUMBER, name, value]
    field = sql.SQL("(CASE WHEN jsonb_typeof(metadata -> %s) = 'string' THEN metadata ->> %s END)")
    return _comparison(one, field, TEXT), [name, name, one.value]


def _comparison(one: Filter, operand: sql.Composable, bound: str) -> sql.Composable:
    from psycopg import sql  # noqa: PLC0415 - an extra

    value = sql.SQL(bound)
    if one.operator == "!=":
        return sql.SQL("({} IS DISTINCT FROM {})").format(operand, value)
    operators = {name: sql.SQL(name) for name in ("=", "<", "<=", ">", ">=")}
    return sql.SQL("({} {} {})").format(operand, operators[one.operator], value)


def _as_json(text: str) -> list[str]:
    """A number, true, false or null, as JSON has them; nothing for other words."""
    if _number(text) is not None or text in ("true", "false", "null"):
        return [text if text in ("true", "false", "null") else json.dumps(_number(text))]
    return []


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
