"""What operators see: workers, the log, the file of label sets, memory."""

from __future__ import annotations

import contextlib
import http.server
import json
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from asking import KEY, ask, png
from serving import Served, commanded, serving, stopping, until
from unseen.errors import StoreError
from unseen.load_options import LoadOptions
from unseen.system.sqlite import DiskFullError, connect, transaction
from unseen.web.problems import Problem
from unseen.web.server.apis.schemas import PNG
from unseen.web.server.core.label_sets import LabelStore
from unseen.web.server.core.logs import Lines
from unseen.web.server.core.settings import ServerLimits, Settings

ASK: dict[str, Any] = {"image": PNG, "labels": ["red", "blue"]}
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def workers_of(pid: int) -> list[int]:
    """The processes that were spawned by one."""
    children = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, IndexError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and "spawn_main" in (entry / "cmdline").read_text():
                children.append(int(entry.name))
    return children


def ready_lines(served: Served) -> int:
    return sum(line["event"] == "ready" for line in served.lines())


# workers


@needs_proc
def test_workers_end_with_their_supervisor(shapes_clip: Path) -> None:
    with commanded("-m", str(shapes_clip), "--workers", "2") as served:
        assert served.command is not None
        until(lambda: ready_lines(served) == 2, 180)
        children = workers_of(served.command.pid)
        assert len(children) == 2
        os.kill(served.command.pid, signal.SIGKILL)
        served.command.wait(10)
        until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
        port = int(served.url.rpartition(":")[2])
        with socket.create_server(("127.0.0.1", port)):
            pass  # the address is free again


@needs_proc
def test_sigterm_with_two_workers_loses_nothing(shapes_clip: Path) -> None:
    with (
        commanded("-m", str(shapes_clip), "--workers", "2") as served,
        ThreadPoolExecutor(12) as pool,
        stopping() as stop,
    ):
        assert served.command is not None
        until(lambda: ready_lines(served) == 2, 180)
        lost, answered = [], []

        def asking() -> None:
            while not stop.is_set():
                try:  # a connection for each: who connects while workers end is reset, or served
                    answer = httpx.post(f"{served.url}/v1/classify", json=ASK, timeout=60)
                    answered.append(answer.status_code)
                except httpx.ConnectError:
                    return  # nobody listens any more
                except httpx.TransportError as error:
                    lost.append(repr(error))

        asked = [pool.submit(asking) for _ in range(12)]
        until(lambda: len(answered) > 40)
        served.command.send_signal(signal.SIGTERM)
        assert served.command.wait(60) == 0
        stop.set()
        for one in asked:
            one.result()
    assert lost == [] and set(answered) == {200}


@needs_proc
def test_a_worker_that_is_being_warmed_takes_no_connections(shapes_clip: Path) -> None:
    with commanded("-m", str(shapes_clip), "--workers", "2") as served:
        assert served.command is not None
        until(lambda: ready_lines(served) == 2, 180)
        before = workers_of(served.command.pid)
        os.kill(before[0], signal.SIGKILL)
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{served.url}/readyz", timeout=60)
        statuses = set()
        while ready_lines(served) < 3:
            with contextlib.suppress(httpx.TransportError):  # what the killed one had accepted
                statuses.add(httpx.get(f"{served.url}/readyz", timeout=20).status_code)
            time.sleep(0.02)
        assert statuses == {200}


def test_the_address_is_printed_when_it_answers(shapes_clip: Path) -> None:
    command = [sys.executable, "-m", "unseen", "serve", "-m", str(shapes_clip), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if address := re.search(
                    r"unseen serves .* at (http://127\.0\.0\.1:[1-9]\d*)", line
                ):
                    break
            else:
                pytest.fail("no address")
            assert httpx.get(f"{address[1]}/readyz", timeout=20).status_code == 200
            assert httpx.post(f"{address[1]}/v1/classify", json=ASK, timeout=20).status_code == 200
        finally:
            process.terminate()
            process.stderr.read()
    assert process.returncode == 0


# the log


def record(message: str, level: int = logging.INFO, **fields: Any) -> logging.LogRecord:
    made = logging.LogRecord("unseen.web.server", level, "", 0, message, None, None)
    made.fields = fields
    return made


def test_a_line_for_people() -> None:
    form = Lines()
    line = form.format(
        record(
            "request", request="ab", method="POST", route="/v1/classify", status=200, ms=35.2,
            bytes=91435, pictures=1,
        )
    )  # fmt: skip
    assert re.fullmatch(r"\d\d:\d\d:\d\d POST /v1/classify 200 35\.2 ms pictures=1", line)
    fields = {"request": "ab", "method": "GET", "status": 404, "ms": 1.0, "bytes": 0}
    odd = form.format(record("request", route="other", path="/a\n\x1b[31m\u202e", **fields))
    assert odd.isascii() and odd.isprintable() and "404" in odd
    warned = form.format(record("a worker\nended", logging.WARNING, exit=-9))
    assert warned.endswith(r"warning a worker\nended exit=-9")


def test_probes_leave_no_line(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "unseen.web.server"):
        for path in ("/healthz", "/readyz", "/readiness", "/health", "/metrics", "/info"):
            assert client.get(path).status_code == 200
        until(lambda: caplog.records)
    assert [made.fields["route"] for made in caplog.records] == ["/info"]


# label sets


def definition(number: int) -> dict[str, Any]:
    return {"labels": [{"name": f"label {number}", "prompts": ["x" * 20_000]}], "templates": None}


def test_so_many_versions_of_a_label_set_stay(tmp_path: Path) -> None:
    store = LabelStore(tmp_path / "sets.sqlite", "model", versions=3)
    for number in range(1, 9):
        store.put("a", definition(number), 1)
        if number == 2:
            store.keep("a", 2, b"compiled" * 10_000)
    known = [version for version in range(1, 9) if store.get("a", version)]
    assert known == [2, 6, 7, 8], "three, and the one that answers until a newer one is compiled"
    ready = store.ready("a")
    assert ready is not None and ready.version == 2
    store.keep("a", 8, b"compiled")
    store.put("a", definition(9), 1)
    assert [version for version in range(1, 10) if store.get("a", version)] == [7, 8, 9]
    store.close()


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


@pytest.mark.parametrize("old", [False, True])
def test_the_space_of_deleted_sets_is_given_back(old: bool, tmp_path: Path) -> None:
    path = tmp_path / "sets.sqlite"
    if old:  # a file of before, whose pages would stay
        from unseen.web.server.core.label_sets import SCHEMA

        connect(path, [SCHEMA], "file of label sets").close()
    store = LabelStore(path, "model", versions=2)
    for name in "abcdefgh":
        for number in range(1, 4):
            store.put(name, definition(number), 1)
            store.keep(name, number, b"x" * 500_000)
    full = size(tmp_path)
    assert full > 8_000_000
    for name in "abcdefgh":
        store.delete(name)
    store.close()
    assert size(tmp_path) < full / 10


def test_a_full_disk_is_507_and_its_cause_is_known(
    shapes_clip: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(LoadOptions(str(shapes_clip)), label_store=tmp_path / "sets.sqlite")
    with serving(settings) as served, served.client() as client:
        assert client.put("/v1/labelsets/a", json={"labels": ["red", "blue"]}).status_code == 201
        database = served.app.state.service.label_service._store._database
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        labels = [f"{number} {'x' * 200}" for number in range(200)]
        with caplog.at_level(logging.ERROR, "unseen.web.server"):
            answer = client.put("/v1/labelsets/b", json={"labels": labels})
        assert answer.status_code == 507, answer.text
        assert "disk is full" in answer.json()["detail"]
        assert "disk is full" in caplog.text and "rollback" not in caplog.text.lower()
        assert client.get("/v1/labelsets/a").status_code == 200, "nothing is lost"
        database.execute("PRAGMA max_page_count = 1000000").fetchone()
        assert client.put("/v1/labelsets/b", json={"labels": labels}).status_code == 201


def test_a_transaction_that_sqlite_has_ended_tells_why(tmp_path: Path) -> None:
    database = connect(tmp_path / "a.sqlite", ["CREATE TABLE t (a)"], "file of tests")
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages + 2}").fetchone()
    rows = [(b"x" * 100_000,)] * 20
    with (
        pytest.raises(DiskFullError, match="this file of tests cannot be written"),
        transaction(database),
    ):
        database.executemany("INSERT INTO t VALUES (?)", rows)
    assert database.execute("SELECT count(*) FROM t").fetchall() == [(0,)]
    with pytest.raises(sqlite3.IntegrityError):  # a mistake of ours stays one
        database.execute("CREATE TABLE u (a NOT NULL)")
        database.execute("INSERT INTO u VALUES (NULL)")
    database.close()


def test_a_damaged_file_is_a_store_error(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    database = connect(path, ["CREATE TABLE t (a)"], "file of tests")
    with transaction(database):
        for number in range(200):
            database.execute("INSERT INTO t VALUES (?)", (f"{number} {'x' * 1000}",))
    database.close()
    content = bytearray(path.read_bytes())
    for at in range(16384, len(content), 977):
        content[at] ^= 0xFF
    path.write_bytes(content)
    database = connect(path, ["CREATE TABLE t (a)"], "file of tests")
    for read in (
        lambda: database.execute("SELECT a FROM t").fetchall(),
        lambda: list(database.execute("SELECT a FROM t")),
        lambda: database.execute("SELECT a FROM t").fetchone(),
        lambda: database.execute("SELECT a FROM t").fetchmany(300),
    ):
        with pytest.raises(StoreError, match=r"a\.sqlite: this file of tests"):
            read()
    database.close()


# URLs


class Silent(http.server.ThreadingHTTPServer):
    """Answers /good at once, and anything else when it is told."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        self.go = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Silent

    def do_GET(self) -> None:
        if self.path != "/good":
            self.server.go.wait(60)
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):  # who asked may be gone
            self.wfile.write(png("a red circle"))

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def silent() -> Iterator[Silent]:
    with Silent() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.go.set()
        server.shutdown()


def test_slow_urls_do_not_delay_a_good_one(
    silent: Silent, shapes_clip: Path, tmp_path: Path
) -> None:
    host = f"127.0.0.1:{silent.server_address[1]}"
    limits = ServerLimits(fetch_seconds=60.0, queue_seconds=2.0)
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        label_store=tmp_path / "sets.sqlite",
        url_hosts=frozenset({host}),
        limits=limits,
    )
    with serving(settings) as served, ThreadPoolExecutor(120) as pool:

        def classify(path: str) -> httpx.Response:
            body = {"image": {"url": f"http://{host}/{path}"}, "labels": ["red", "blue"]}
            return httpx.post(f"{served.url}/v1/classify", json=body, timeout=90)

        slow = [pool.submit(classify, f"slow{i}") for i in range(60)]
        fetcher = served.app.state.service._fetcher
        until(lambda: fetcher._free._value == 4)
        assert classify("good").status_code == 200, "60 slow ones leave room"
        more = [pool.submit(classify, f"slow{i}") for i in range(60, 70)]
        until(lambda: sum(one.done() for one in more) == 6)
        refused = [one.result() for one in more if one.done()]
        assert {answer.json()["code"] for answer in refused} == {"overloaded"}
        silent.go.set()
        assert {one.result().status_code for one in slow[:60]} == {200}


# memory


@needs_proc
def test_large_uploads_are_not_copied_and_their_memory_is_given_back(shapes_clip: Path) -> None:
    from unseen.images.limits import Limits

    assert Limits().max_bytes > 32_000_000
    boundary = b"--x\r\n"
    part = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    content = b"\x89PNG\r\n\x1a\n" + os.urandom(1_000_000) * 30
    form = b"".join(boundary + part + content + b"\r\n" for _ in range(2)) + (
        b'--x\r\nContent-Disposition: form-data; name="labels"\r\n\r\nred,blue\r\n--x--\r\n'
    )
    with commanded("-m", str(shapes_clip)) as served:
        headers = {"content-type": "multipart/form-data; boundary=x"}

        def post(_: int) -> int:
            return httpx.post(
                f"{served.url}/v1/classify", content=form, headers=headers, timeout=120
            ).status_code

        assert served.command is not None
        assert httpx.post(f"{served.url}/v1/classify", json=ASK, timeout=60).status_code == 200
        before = memory(served, "VmRSS")
        Path(f"/proc/{served.command.pid}/clear_refs").write_text("5")
        with ThreadPoolExecutor(4) as pool:
            assert set(pool.map(post, range(4))) <= {200, 400}
        peak = memory(served, "VmHWM") - before
        # Four bodies of 60 MB, and what a heap loses where they grow: 219-255 MB. With two copies
        # of each picture that is decoded it was 340-395, and with one of each body 900.
        assert peak < 1.35 * 4 * len(form), f"{peak / 1e6:.0f} MB for {4 * len(form) / 1e6:.0f} MB"
        until(lambda: memory(served, "VmRSS") - before < 60e6)


def memory(served: Served, name: str) -> int:
    assert served.command is not None
    lines = Path(f"/proc/{served.command.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


# a method that a path does not have


def test_a_wrong_method_is_said_before_a_key_is_asked_for(locked_url: str) -> None:
    for path in ("/clip/compare", "/v1/classify", "/v1/embeddings", "/setup"):
        assert ask(locked_url + path, method="GET")[0] == 405, path
        assert ask(locked_url + path, {})[0] == 401, path
    assert ask(f"{locked_url}/v1/labelsets", method="GET")[0] == 401
    assert ask(f"{locked_url}/v1/nothing", method="GET")[0] == 401
    assert ask(f"{locked_url}/v1/labelsets", method="GET", authorization=f"Bearer {KEY}")[0] == 200


def test_problems_of_stores() -> None:
    assert Problem.of(DiskFullError("a")).status == 507
    assert Problem.of(StoreError("a")).status == 409
    assert json.dumps(Problem.of(DiskFullError("a")).code) == '"insufficient_storage"'
