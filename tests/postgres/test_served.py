"""Search and the server's gallery answer from a table, with filters, as the command line does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from running import unseen as run
from serving import serving
from unseen.jobs.job import Job
from unseen.jobs.postgres_rows import export_to_postgres
from unseen.load_options import LoadOptions
from unseen.web.server.core.settings import Settings

TABLE = "served"
WORDS = "a red circle"


@pytest.fixture(scope="module")
def table(database: str, job: Job) -> str:
    export_to_postgres(job, database, TABLE)
    return database


@pytest.fixture(scope="module")
def client(
    table: str, shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    store = tmp_path_factory.mktemp("store") / "sets.sqlite"
    options = LoadOptions(str(shapes_clip))
    with (
        serving(Settings(options, postgres=table, table=TABLE, label_store=store)) as served,
        served.client() as client,
    ):
        yield client


def test_the_gallery_answers_from_a_table(client: httpx.Client, listed: Path) -> None:
    assert client.get("/info").json()["index"] == {"name": TABLE, "pictures": 23, "filters": True}
    body = {"texts": [WORDS], "top": 5, "where": ["camera=north", "year>=2004"]}
    hits = client.post("/v1/search", json=body).json()["hits"]
    assert len(hits) == 5 and {hit["metadata"]["camera"] for hit in hits} == {"north"}
    assert all(hit["metadata"]["year"] >= 2004 and hit["label"] for hit in hits)
    assert [hit["cosine"] for hit in hits] == sorted((h["cosine"] for h in hits), reverse=True)
    thumbnail = client.get(f"/v1/pictures/{hits[0]['id']}/thumbnail")
    assert thumbnail.headers["content-type"] == "image/jpeg"
    assert thumbnail.content[:2] == b"\xff\xd8"
    similar = client.post("/v1/similar", json={"id": hits[0]["id"], "top": 3}).json()["hits"]
    assert len(similar) == 3 and hits[0]["id"] not in {hit["id"] for hit in similar}
    page = client.get("/v1/pictures", params={"limit": 4, "where": "camera=south"}).json()
    assert page["total"] == 11 and [row["path"] for row in page["pictures"]] == [
        str(listed.parent / f"{i:02}.png") for i in (1, 3, 5, 7)
    ]


def test_what_is_wrong_is_said(client: httpx.Client) -> None:
    answer = client.post("/v1/search", json={"texts": [WORDS], "where": ["north"]})
    assert answer.status_code == 400 and "give NAME=VALUE" in answer.json()["detail"]
    many = client.post("/v1/search", json={"texts": ["x"], "where": 17 * ["a=1"]})
    assert many.status_code == 413
    assert client.get("/v1/pictures/999999/thumbnail").status_code == 404


def test_search_on_the_command_line(table: str, client: httpx.Client, shapes_clip: Path) -> None:
    place = ("--postgres", table, "--table", TABLE, "--device", "cpu")
    done = run("search", WORDS, *place, "--where", "camera=north", "--top", 4, "--json")
    rows = json.loads(done.stdout)
    body = {"texts": [WORDS], "top": 4, "where": ["camera=north"]}
    hits = client.post("/v1/search", json=body).json()["hits"]
    assert [row["key"] for row in rows] == [hit["path"] for hit in hits]


def test_options_that_do_not_go_together() -> None:
    pytest.importorskip("psycopg", reason='pip install "unseen[postgres]"')
    url = "postgresql://ann:geheim@127.0.0.1:9/x?connect_timeout=1"
    for arguments, reason in (
        (("search", "x", "--where", "a=1"), "--where is of a table"),
        (("search", "x", "--postgres", url), "127.0.0.1:9/x: "),
    ):
        error = run(*arguments, code=2).stderr
        assert reason in error and "geheim" not in error


def test_postgresql_is_an_extra() -> None:
    """In a Python that cannot import psycopg."""
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "import unseen\nfrom unseen.postgres.gallery import Gallery\n"
        "from unseen.postgres.table import Table\n"
        "try: Gallery('postgresql://x/y', Table())\n"
        "except unseen.MissingExtraError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == (
        'PostgreSQL needs psycopg, which is not installed: pip install "unseen[postgres]"\n'
    )
