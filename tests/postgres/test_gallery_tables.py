"""A table has the rows of a job, whole or not at all; numpy and plain SQL are the judges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import unseen
from planning import LABELS
from unseen.jobs.job import Job
from unseen.jobs.merged import merged
from unseen.jobs.plan import plan
from unseen.jobs.postgres_rows import export_to_postgres, facts_of
from unseen.jobs.running.runner import work
from unseen.jobs.running.session import Session
from unseen.postgres.connection import connected
from unseen.postgres.filters import parse_filter
from unseen.postgres.gallery import Gallery
from unseen.postgres.loading import load_rows
from unseen.postgres.table import Table


def ask(url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """By psycopg alone."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def table(database: str, job: Job) -> str:
    """A table of the whole job, with HNSW."""
    result = export_to_postgres(job, database, "shapes", hnsw=True)
    assert (result.rows, result.missing, result.errors) == (24, 0, 1)
    return "shapes"


@pytest.fixture(scope="module")
def rows(job: Job) -> list[dict[str, Any]]:
    return pa.concat_tables([part for _, part in merged(job)]).to_pylist()


@pytest.fixture
def gallery(database: str, table: str) -> Iterator[Gallery]:
    with Gallery(database, Table(table)) as gallery:
        yield gallery


def test_every_planned_key_has_its_row(
    database: str, table: str, rows: list[dict[str, Any]]
) -> None:
    columns = "key, label, score, labels, embedding::text, sha256, width, error, metadata, source"
    stored = ask(database, f"SELECT {columns} FROM {table} ORDER BY id")
    assert len(stored) == len(rows) == 24
    for row, (key, label, score, labels, embedding, sha256, width, error, metadata, source) in zip(
        rows, stored, strict=True
    ):
        assert (key, label, sha256, width) == (
            row["key"], row["label"], row["sha256"], row["width"],
        )  # fmt: skip
        assert (error, source, metadata) == (row["error"], row["key"], json.loads(row["metadata"]))
        if row["error"] is None:
            assert score == pytest.approx(row["score"]) and labels[0]["label"] == label
            vector = np.array(json.loads(embedding), dtype=np.float32)
            np.testing.assert_array_equal(vector, np.array(row["embedding"], dtype=np.float32))
        else:
            assert label is labels is embedding is None


def test_a_second_export_replaces_by_key(database: str, job: Job, table: str) -> None:
    before = ask(database, f"SELECT id, key, label FROM {table} ORDER BY id")
    ask(database, f"UPDATE {table} SET label = 'nonsense' WHERE id % 2 = 0")
    export_to_postgres(job, database, table)
    assert ask(database, f"SELECT id, key, label FROM {table} ORDER BY id") == before
    assert ask(database, "SELECT count(*) FROM pg_class WHERE relname LIKE %s", "%staging%") == [
        (0,)
    ]


def test_the_nearest_are_those_of_numpy(
    gallery: Gallery, classifier: unseen.Classifier, rows: list[dict[str, Any]]
) -> None:
    good = [row for row in rows if row["error"] is None]
    matrix = np.array([row["embedding"] for row in good], dtype=np.float64)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    query = gallery.query_vector(classifier.encoder, ["a red circle"])
    cosines = matrix @ query.astype(np.float64)
    order = np.argsort(-cosines)
    for exhaustive in (False, True):
        matches = gallery.search(query, top=60, exhaustive=exhaustive)
        assert len(matches) == len(good) == 23
        np.testing.assert_allclose([m.cosine for m in matches], cosines[order], atol=1e-5)
        assert [m.key for m in matches[:5]] == [good[i]["key"] for i in order[:5]]
    assert [m.key for m in gallery.search(query, top=3)] == [m.key for m in matches[:3]]
    assert gallery.vector(matches[0].id) == pytest.approx(matrix[order[0]], abs=1e-6)
    (twice,) = gallery.search(
        gallery.query_vector(classifier.encoder, [(2.0, "a red circle")]), top=1
    )
    assert twice == matches[0]


FILTERS = {
    ("camera=north",): lambda row, meta: meta["camera"] == "north",
    ("camera!=north",): lambda row, meta: meta["camera"] != "north",
    ("year>=2010", "year < 2015"): lambda row, meta: 2010 <= meta["year"] < 2015,
    ("year=2007.0",): lambda row, meta: meta["year"] == 2007,
    ("year>2020", "camera=south"): lambda row, meta: (
        meta["year"] > 2020 and meta["camera"] == "south"
    ),
    ('note=it\'s "quoted"; --',): lambda row, meta: meta.get("note"),
    ("note!=x",): lambda row, meta: True,
    ("camera>n",): lambda row, meta: meta["camera"] > "n",
    ("camera<5",): lambda row, meta: False,
    ("iso>=100", "iso<1e3"): lambda row, meta: 100 <= int(meta["iso"]) < 1000,
    ("iso=100",): lambda row, meta: meta["iso"] == "100",
    ("nothing=1",): lambda row, meta: False,
    ("width=64", "height<=64"): lambda row, meta: True,
    ("width!=64",): lambda row, meta: False,
    ("label=a red circle",): lambda row, meta: row["label"] == "a red circle",
    ("label!=a red circle",): lambda row, meta: row["label"] != "a red circle",
    ("x'); DROP TABLE shapes; --=1",): lambda row, meta: False,
}


@pytest.mark.parametrize("where", FILTERS, ids=" ".join)
def test_filters_are_those_of_python(
    where: tuple[str, ...], gallery: Gallery, rows: list[dict[str, Any]]
) -> None:
    expected = {
        row["key"]
        for row in rows
        if row["error"] is None and FILTERS[where](row, json.loads(row["metadata"]))
    }
    filters = [*map(parse_filter, where)]
    query = np.ones(gallery.facts.dimension, dtype=np.float32)
    assert {match.key for match in gallery.search(query, filters=filters)} == expected
    total, page = gallery.page(0, 5, filters)
    assert total == len(expected) and len(page) == min(total, 5)


def test_another_model_is_refused(database: str, job: Job, table: str, gallery: Gallery) -> None:
    facts = facts_of(job)
    for other in (
        replace(facts, fingerprint="f" * 64),
        replace(facts, precision="int8"),
        replace(facts, exact=True),
    ):
        with pytest.raises(unseen.StoreError, match="cannot be compared; give another --table"):
            load_rows(database, Table(table), other, [])
    with pytest.raises(unseen.StoreError, match="is another model"):
        gallery.check(unseen.load().encoder)
    assert gallery.page(0, 0)[0] == 23


def test_a_table_of_others_is_left_alone(database: str, job: Job) -> None:
    ask(database, "CREATE TABLE theirs (key text)")
    with pytest.raises(unseen.StoreError, match="was not made by `unseen job export`"):
        export_to_postgres(job, database, "theirs")
    with pytest.raises(unseen.StoreError, match="there is no table missing; make it"):
        Gallery(database, Table("missing"))


def test_all_rows_or_none(database: str, job: Job, table: str) -> None:
    """An error in the middle leaves the table as it was, and no table where there was none."""
    facts = facts_of(job)

    def rows() -> Iterator[dict[str, Any]]:
        yield {"key": "new"}
        raise unseen.StoreError("a part is damaged")

    for name in (table, "never"):
        with pytest.raises(unseen.StoreError, match="a part is damaged"):
            load_rows(database, Table(name), facts, rows())
    assert ask(database, f"SELECT count(*) FROM {table} WHERE key = 'new'") == [(0,)]
    assert ask(database, "SELECT to_regclass('never')") == [(None,)]
    short = {"key": "x", "embedding": np.ones(3)}
    with pytest.raises(unseen.StoreError, match=r"postgres: expected \d+ dimensions, not 3"):
        load_rows(database, Table(table), facts, [short])


def test_names_and_values_that_would_do_harm(database: str, job: Job) -> None:
    facts = facts_of(job)
    name = 'odd "; DROP TABLE shapes; --'
    metadata = {"a'b\"": "x\0y\ud800", "number": float("nan"), "deep": [{"\0": 1}]}
    row = {"key": "%s\0 $1 \\N", "metadata": metadata, "label": "\ud83d", "embedding": None}
    assert load_rows(database, Table(name), facts, [row]) == 1
    ((key, stored),) = ask(database, 'SELECT key, metadata FROM "odd ""; DROP TABLE shapes; --"')
    assert key == "%s\ufffd $1 \\N"
    assert stored == {"a'b\"": "x\ufffdy?", "number": None, "deep": [{"\ufffd": 1}]}
    ask(database, "CREATE SCHEMA apart")
    assert load_rows(database, Table("apart.shapes"), facts, [row]) == 1
    assert ask(database, "SELECT count(*) FROM apart.shapes") == [(1,)]
    assert ask(database, "SELECT count(*) FROM shapes") == [(24,)]


def test_what_was_tried_again_takes_its_place(
    database: str, classifier: unseen.Classifier, listed: Path, tmp_path: Path
) -> None:
    from unseen.jobs.retry import retry

    folder = tmp_path / "pictures"
    folder.mkdir()
    content = (listed.parent / "00.png").read_bytes()
    (folder / "a.png").write_bytes(content)
    (folder / "b.png").write_bytes(b"broken")
    job = plan(classifier, folder, tmp_path / "job", LABELS, embed=True)
    with pytest.raises(unseen.SourceError, match="2 pictures have no row yet"):
        export_to_postgres(job, database, "again")
    work(job, Session.load(job, {"device": "cpu", "threads": 1}))
    assert export_to_postgres(job, database, "again").errors == 1
    (folder / "b.png").write_bytes(content)
    retry(job)
    job = Job.open(tmp_path / "job")
    work(job, Session.load(job, {"device": "cpu", "threads": 1}))
    assert export_to_postgres(job, database, "again").errors == 0
    (a, b) = ask(database, "SELECT id, error, embedding::text FROM again ORDER BY id")
    assert (a[0], b[0]) == (1, 2) and a[1:] == b[1:] and a[2] is not None


def test_a_connection_that_broke_is_made_anew(database: str, gallery: Gallery) -> None:
    assert gallery.page(0, 0)[0] == 23
    others = "pid <> pg_backend_pid() AND application_name = 'unseen'"
    assert ask(database, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    assert gallery.page(0, 0)[0] == 23


def test_hnsw_is_there_and_used(database: str, table: str) -> None:
    ((definition,),) = ask(
        database, "SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'shapes_%_hnsw'"
    )
    assert "USING hnsw (embedding vector_cosine_ops)" in definition


def test_a_password_is_never_shown(database: str) -> None:
    for url in (
        "postgresql://ann:geheim@127.0.0.1:9/photos?connect_timeout=2",
        "host=127.0.0.1 port=9 password=geheim dbname=photos connect_timeout=2",
        "postgresql:/ann:geheim@db",
    ):
        with pytest.raises(unseen.UnseenError) as error, connected(url):
            pass
        assert "geheim" not in str(error.value)
    with pytest.raises(unseen.SourceError, match="is no address of a PostgreSQL database"):
        Gallery("photos", Table())
