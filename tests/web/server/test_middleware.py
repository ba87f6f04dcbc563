"""Who may ask, how much, how long; and what is written down."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving import Served, serving, until
from unseen.errors import SourceError
from unseen.load_options import LoadOptions
from unseen.web.server.apis.schemas import PNG
from unseen.web.server.app import APIS
from unseen.web.server.core.settings import Settings
from unseen.web.server.http import keys
from unseen.web.server.http.direct_routes import DirectRoutes

ASK = {"image": PNG, "labels": ["red", "blue"]}


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    return file, keys.add(file, "alice"), keys.add(file, "bob")


@pytest.fixture(scope="module")
def guarded(
    shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory, key_file: tuple[Path, str, str]
) -> Iterator[Served]:
    """A server with keys, that one other site may ask."""
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        label_store=tmp_path_factory.mktemp("guarded") / "sets.sqlite",
        keys=key_file[0],
        cors=("https://example.org",),
        hosts=("photos.example.org",),
    )
    with serving(settings) as served:
        yield served


@pytest.fixture
def inside(guarded: Served) -> Iterator[httpx.Client]:
    with guarded.client() as client:
        yield client


# keys


def test_every_key_opens_and_none_other(
    inside: httpx.Client, key_file: tuple[Path, str, str]
) -> None:
    _, alice, bob = key_file
    assert alice != bob
    for key in (alice, bob):
        bearer = {"authorization": f"Bearer {key}"}
        assert inside.post("/v1/classify", json=ASK, headers=bearer).status_code == 200
        assert inside.post(f"/v1/classify?api_key={key}", json=ASK).status_code == 200
    wrong = [None, "Bearer", f"Bearer {alice}x", f"Basic {alice}", "Bearer ünïcode"]
    for header in wrong:
        headers = {} if header is None else {"authorization": header.encode("utf-8")}
        answer = inside.post("/v1/classify", json=ASK, headers=headers)
        assert answer.status_code == 401, header
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json()["code"] == "invalid_api_key"
        assert alice not in answer.text
    for path in ("/v1/labelsets", "/v1/pictures", "/v1/nothing"):
        assert inside.get(path).status_code == 401, path
    fields = "&".join(f"a{i}=1" for i in range(200))
    assert inside.get(f"/v1/labelsets?{fields}&api_key={alice}").status_code == 401


def test_what_needs_no_key(inside: httpx.Client) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/info", "/openapi.json", "/", "/docs"):
        assert inside.get(path).status_code == 200, path
    assert inside.get("/info").json()["keys"] is True


def test_the_file_holds_no_key_and_says_where_it_is_wrong(
    key_file: tuple[Path, str, str], tmp_path: Path
) -> None:
    file, alice, _ = key_file
    assert alice not in file.read_text()
    assert [name for name, _ in keys.read(file)] == ["alice", "bob"]
    with pytest.raises(SourceError, match="already"):
        keys.add(file, "alice")
    with pytest.raises(SourceError, match="letters"):
        keys.add(file, "a:b")
    bad = tmp_path / "bad.txt"
    bad.write_text("# comment\nnonsense\n")
    with pytest.raises(SourceError, match=r"bad\.txt:2"):
        keys.read(bad)
    bad.write_text("# comment\n")
    with pytest.raises(SourceError, match="no keys"):
        keys.read(bad)


# names and sites


def test_a_server_at_home_is_called_by_its_name(
    inside: httpx.Client, key_file: tuple[Path, str, str]
) -> None:
    """DNS rebinding: a page of evil.example that resolves to 127.0.0.1."""
    for host, status in {
        "localhost:8000": 200,
        "127.0.0.1": 200,
        "[::1]:80": 200,
        "LOCALHOST.": 200,
        "photos.example.org:8000": 200,
        "evil.example": 421,
        "127.0.0.1.evil.example": 421,
        "evil.example:8000": 421,
        "": 421,
    }.items():
        assert inside.get("/info", headers={"host": host}).status_code == status, host
        assert inside.get("/healthz", headers={"host": host}).status_code == 200, "a probe"


def test_head_is_get_without_its_body(client: httpx.Client) -> None:
    for path in ("/healthz", "/info", "/"):
        head, get = client.head(path), client.get(path)
        assert head.status_code == get.status_code == 200
        assert head.content == b"" and get.content
        assert head.headers["content-length"] == get.headers["content-length"]
    assert client.head("/v1/classify").status_code == 405


def test_pages_of_other_sites_may_not_ask(
    inside: httpx.Client, key_file: tuple[Path, str, str]
) -> None:
    bearer = {"authorization": f"Bearer {key_file[1]}"}
    foreign = {**bearer, "sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    answer = inside.post("/v1/classify", json=ASK, headers=foreign)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
    own = {**bearer, "sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:1"}
    assert inside.post("/v1/classify", json=ASK, headers=own).status_code == 200
    friend = {**bearer, "sec-fetch-site": "cross-site", "origin": "https://example.org"}
    answer = inside.post("/v1/classify", json=ASK, headers=friend)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://example.org"
    preflight = {"origin": "https://example.org", "access-control-request-method": "POST"}
    assert inside.options("/v1/classify", headers=preflight).status_code == 200
    preflight["origin"] = "https://evil.example"
    assert inside.options("/v1/classify", headers=preflight).status_code == 400


def test_cors_is_off_by_default(client: httpx.Client) -> None:
    origin = {"origin": "https://example.org"}
    answer = client.get("/info", headers=origin)
    assert not [name for name in answer.headers if name.startswith("access-control")]
    asking = {**origin, "access-control-request-method": "POST"}
    assert client.options("/v1/classify", headers=asking).status_code == 405


def test_headers_of_every_answer(client: httpx.Client) -> None:
    answer = client.get("/info")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])
    assert "server" not in answer.headers


# logs


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        from unseen.web.server.core.logs import JsonLines

        self.setFormatter(JsonLines())
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def log() -> Iterator[list[str]]:
    kept = Kept()
    logger = logging.getLogger("unseen.web.server")
    before = logger.level
    logger.addHandler(kept)
    logger.setLevel(logging.INFO)
    yield kept.lines
    logger.removeHandler(kept)
    logger.setLevel(before)


def test_a_request_is_one_line_of_json_with_no_picture_in_it(
    inside: httpx.Client, key_file: tuple[Path, str, str], log: list[str]
) -> None:
    _, alice, _ = key_file
    answer = inside.post(f"/v1/classify?api_key={alice}", json=ASK)
    until(lambda: log)  # it is written after the answer
    (line,) = log
    said = json.loads(line)
    assert said["event"] == "request" and said["status"] == 200 and said["pictures"] == 1
    assert said["route"] == "/v1/classify" and said["method"] == "POST" and said["key"] == "alice"
    assert said["request"] == answer.headers["x-request-id"]
    assert said["ms"] > 0 and said["bytes"] == len(answer.request.content)
    assert PNG[:30] not in line and alice not in line and "red" not in line


def test_what_a_client_sends_cannot_write_a_line_of_the_log(
    client: httpx.Client, log: list[str]
) -> None:
    client.get("/nothing%0a%7b%22event%22%3a%22forged%22%7d%0d%0a" + "x" * 500)
    client.put("/v1/labelsets/a%0ab", json={"labels": ["a"]})
    client.post("/v1/classify", files={"image": ('a"\n{"event":1}', b"x")}, data={"labels": "a\nb"})
    until(lambda: len(log) >= 3)
    assert len(log) == 3
    for line in log:
        assert "\n" not in line and "\r" not in line
        assert json.loads(line)["event"] == "request" and len(line) < 800


# metrics


def numbers(client: httpx.Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_metrics_count_what_was_asked(client: httpx.Client) -> None:
    before = numbers(client)
    for _ in range(3):
        client.post("/v1/classify", json=ASK)
    client.post("/v1/classify", json={})
    client.get("/v1/nothing/at/all")
    after = numbers(client)

    def more(name: str, **labels: str) -> float:
        key = (name, tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    route = {"route": "/v1/classify", "method": "POST"}
    assert more("http_requests_total", **route, status="200") == 3
    assert more("http_requests_total", **route, status="422") == 1
    assert more("http_requests_total", route="other", method="GET", status="404") == 1
    assert more("http_request_duration_seconds_count", route="/v1/classify") == 4
    assert more("unseen_stage_duration_seconds_count", stage="decode") == 3
    assert more("unseen_stage_duration_seconds_count", stage="image") == 3
    assert more("unseen_batch_size_sum", kind="image") == 3
    assert more("unseen_cache_total", kind="labels", result="hit") >= 2
    assert after[("unseen_queue_depth", (("kind", "image"),))] == 0
    assert after[("unseen_ready", ())] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_metrics_say_how_much_memory_there_is_and_is_shared(client: httpx.Client) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])  # the server is in this process
    after = numbers(client)
    resident = after[("unseen_memory_bytes", (("kind", "resident"),))]
    assert resident == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE"), rel=0.1)
    assert 0 < after[("unseen_memory_bytes", (("kind", "proportional"),))] <= resident


def test_label_values_are_bounded(client: httpx.Client) -> None:
    for i in range(20):
        client.get(f"/made/up/{i}")
        client.request(f"METHOD{i}", "/info")
        client.get(f"/v1/labelsets/{i}")
    names = {labels for name, labels in numbers(client) if name == "http_requests_total"}
    assert len([labels for labels in names if ("route", "other") in labels]) <= 6
    assert not [labels for labels in names if "made" in str(labels) or "METHOD" in str(labels)]


def test_keys_that_are_added_at_once_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    names = [f"name{number}" for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        added = list(pool.map(lambda name: keys.add(file, name), names))
    known = keys.Keys(keys.read(file))
    assert [known.name_of(key) for key in added] == names
    with pytest.raises(FileNotFoundError):
        keys.add(tmp_path / "missing" / "keys.txt", "alice")
    assert not (tmp_path / "missing").exists()


def test_a_key_of_any_bytes_is_only_wrong() -> None:
    one = keys.Keys([("a", keys.digest("secret"))])
    strange: list[Any] = [None, "", "sécret", "\ud800", "x" * 100_000, base64.b64encode(b"a")]
    for key in strange[:-1]:
        assert one.name_of(key) is None
    assert one.name_of("secret") == "a"


# what a request costs


def test_what_runs_a_network_goes_straight_to_its_function(client: httpx.Client) -> None:
    async def router(*_: object) -> None:
        raise AssertionError("no request comes here")

    paths = {path for api in APIS for path in api.inference_paths}
    assert {*DirectRoutes(router, APIS).routes} == paths
    for path in paths:  # and what else there is at these paths is as it was
        assert client.delete(path).status_code == 405
        assert client.post(path, content=b"{", headers={"content-type": "x/y"}).status_code >= 400
