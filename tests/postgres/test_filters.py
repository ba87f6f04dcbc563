"""Filters and names, without a database."""

from __future__ import annotations

import pytest

import unseen
from unseen.postgres.filters import Filter, parse_filter
from unseen.postgres.table import ModelFacts, Table


def test_filters_are_read() -> None:
    assert parse_filter("camera=north") == Filter("camera", "=", "north")
    assert parse_filter(" f number <= 2.8 ") == Filter("f number", "<=", "2.8")
    assert parse_filter("a!=b=c") == Filter("a", "!=", "b=c")
    assert parse_filter("note=") == Filter("note", "=", "")
    for wrong in ("camera", "=north", "", "a\0=1", "a=" + 5000 * "b"):
        with pytest.raises(unseen.SourceError, match="is no filter; give NAME=VALUE"):
            parse_filter(wrong)
    with pytest.raises(unseen.SourceError, match="width is compared with a number"):
        parse_filter("width>large")


def test_names_of_tables() -> None:
    assert str(Table("a.b")) == "a.b" and str(Table()) == "unseen"
    for wrong in ("", "a.", ".a", "a.b.c", 64 * "a", "a\0"):
        with pytest.raises(unseen.SourceError, match="is no name of a table"):
            Table(wrong)


def test_facts_come_back_from_a_comment() -> None:
    facts = ModelFacts("builtin", None, "f" * 64, "squash 224", "fp32", False, 512)
    assert ModelFacts.from_text(facts.to_text()) == facts
    for text in ("", "photos of 2019", "{}", "[]", '{"format": "unseen-postgres-1"}'):
        assert ModelFacts.from_text(text) is None
