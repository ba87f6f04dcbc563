"""Slow clients, clients that go away, too many of them, hostile ones; and an end in good order."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

import hostile
import running
import shapes
import unseen
from serving import Served, commanded, serving, stopping, until
from unseen.learning.calibrate import calibrate
from unseen.load_options import LoadOptions
from unseen.prediction.calibration_file import beside
from unseen.web.server.apis.schemas import PNG
from unseen.web.server.core.settings import ServerLimits, Settings
from unseen.web.server.http import keys

ASK: dict[str, Any] = {"image": PNG, "labels": ["red", "blue"]}
BODY = json.dumps(ASK).encode()


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)


def request(path: str = "/v1/classify", body: bytes = BODY, method: str = "POST") -> bytes:
    return (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


@pytest.fixture(scope="module")
def hasty(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that gives its clients little time, and itself as much as a busy machine needs."""
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        label_store=tmp_path_factory.mktemp("hasty") / "sets.sqlite",
        limits=ServerLimits(
            receive_seconds=0.6, queue_seconds=0.5, connections=200, body_bytes=2**20
        ),
    )
    with serving(settings) as served:
        yield served


@pytest.fixture
def brief(shapes_clip: Path, tmp_path: Path) -> Iterator[Served]:
    """A server whose requests have two seconds."""
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        label_store=tmp_path / "sets.sqlite",
        limits=ServerLimits(seconds=2.0),
    )
    with serving(settings) as served:
        yield served


@pytest.fixture(scope="module")
def narrow(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of a short queue, that lets its requests take all the time of a busy machine."""
    settings = Settings(
        LoadOptions(str(shapes_clip)),
        label_store=tmp_path_factory.mktemp("narrow") / "sets.sqlite",
        limits=ServerLimits(queue_seconds=0.45, queue_pictures=5),
    )
    with serving(settings) as served:
        yield served


@contextlib.contextmanager
def stuck(served: Served) -> Iterator[threading.Event]:
    """The image net does not come back until the event is set."""
    encoder = served.app.state.service.encoder
    go, run = threading.Event(), encoder.encode_pixels

    def waiting(pixels: Any) -> Any:
        assert go.wait(60)
        return run(pixels)

    encoder.encode_pixels = waiting
    try:
        yield go
    finally:
        go.set()
        del encoder.encode_pixels
        images = served.app.state.service.images
        until(lambda: images.pending == 0)


# slow clients


def slow_to_begin(sock: socket.socket) -> Iterator[None]:
    yield


def slow_head(sock: socket.socket) -> Iterator[None]:
    for byte in request()[:60]:
        sock.sendall(bytes([byte]))
        yield


def slow_body(sock: socket.socket) -> Iterator[None]:
    whole = request()
    head = whole.index(b"\r\n\r\n") + 4
    sock.sendall(whole[:head])
    for byte in whole[head : head + 60]:
        sock.sendall(bytes([byte]))
        yield


def slow_chunks(sock: socket.socket) -> Iterator[None]:
    sock.sendall(
        b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    for _ in range(60):
        sock.sendall(b"1\r\n{\r\n")
        yield


def slow_second_request(sock: socket.socket) -> Iterator[None]:
    sock.sendall(request("/healthz", b"", "GET"))
    assert sock.recv(4096).startswith(b"HTTP/1.1 200")
    for byte in request()[:60]:
        sock.sendall(bytes([byte]))
        yield


@pytest.mark.parametrize(
    "slow", [slow_to_begin, slow_head, slow_body, slow_chunks, slow_second_request]
)
def test_a_slow_sender_is_left(hasty: Served, slow: Callable[[socket.socket], Any]) -> None:
    with connected(hasty.url) as sock:
        drip = slow(sock)
        start = time.monotonic()
        sock.settimeout(0.2)
        while True:
            assert time.monotonic() - start < 25, "it is still connected"
            try:
                next(drip, None)
                if sock.recv(4096) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - start > 0.4, "it was given its time"


def test_a_client_that_does_not_read_is_left(hasty: Served) -> None:
    texts = [f"text {i}" for i in range(1000)]
    body = json.dumps({"texts": texts}).encode()
    connections = hasty.app.state.service  # kept alive
    assert connections.ready
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        parts = urlsplit(hasty.url)
        sock.connect((parts.hostname, parts.port))
        for _ in range(8):
            sock.sendall(request("/v1/embed", body))
        server = hasty.server
        assert server is not None
        until(lambda: bool(server.server_state.connections))  # it is accepted after it is open
        until(lambda: not server.server_state.connections)
        sock.settimeout(5)
        received = 0
        with contextlib.suppress(OSError):
            while part := sock.recv(1 << 16):
                received += len(part)
        answer = httpx.post(f"{hasty.url}/v1/embed", json={"texts": texts}, timeout=60)
        assert answer.status_code == 200
        assert received < 8 * len(answer.content), "it was cut off, and not waited for"


def test_connections_are_bounded(hasty: Served) -> None:
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connected(hasty.url)) for _ in range(230)]
        refused = 0
        for sock in socks[-20:]:
            sock.settimeout(1)
            with contextlib.suppress(TimeoutError):
                try:
                    refused += sock.recv(1) == b""
                except ConnectionResetError:
                    refused += 1
        assert refused == 20
    until(lambda: httpx.get(f"{hasty.url}/healthz", timeout=60).status_code == 200)


# clients that go away, and too many


def test_a_client_that_goes_away_frees_its_slot(narrow: Served) -> None:
    images = narrow.app.state.service.images
    images.assume(0.001)
    ran: list[int] = []
    with stuck(narrow) as go:
        encoder = narrow.app.state.service.encoder
        waiting = encoder.encode_pixels
        encoder.encode_pixels = lambda pixels: ran.append(len(pixels)) or waiting(pixels)
        first = connected(narrow.url)
        first.sendall(request())
        until(lambda: ran == [1])
        others = [connected(narrow.url) for _ in range(5)]
        for sock in others:
            sock.sendall(request())
        until(lambda: images.pending == 6)
        for sock in others:
            sock.close()
        until(lambda: images.pending == 1)
        go.set()
        assert first.recv(4096).startswith(b"HTTP/1.1 200")
        first.close()
    assert ran == [1], "what nobody waited for was never computed"


def test_no_request_waits_for_ever(brief: Served) -> None:
    with stuck(brief):
        start = time.monotonic()
        answer = httpx.post(f"{brief.url}/v1/classify", json=ASK, timeout=25)
        assert answer.status_code == 503 and answer.json()["code"] == "timeout"
        assert int(answer.headers["retry-after"]) >= 1
        assert 1.5 < time.monotonic() - start < 25
        # Probes are not queued behind it.
        assert httpx.get(f"{brief.url}/healthz", timeout=20).status_code == 200
        assert httpx.get(f"{brief.url}/readyz", timeout=20).status_code == 200


def test_overload_is_said_at_once(narrow: Served) -> None:
    httpx.post(f"{narrow.url}/v1/classify", json=ASK, timeout=60)
    images = narrow.app.state.service.images
    with stuck(narrow) as go, ThreadPoolExecutor(40) as pool:
        images.assume(0.1)  # a picture, as if it had gone so
        asked = []
        for i in range(30):
            asked.append(pool.submit(httpx.post, f"{narrow.url}/v1/classify", json=ASK, timeout=60))
            if i < 5:
                until(lambda: images.pending == i + 1)  # noqa: B023 - waited for here
        refused = [one.result() for one in asked[5:]]
        for answer in refused:
            assert answer.status_code == 503, answer.text
            assert answer.json()["code"] == "overloaded"
            assert int(answer.headers["retry-after"]) >= 1
        go.set()
        assert {one.result().status_code for one in asked[:5]} == {200}
    images.assume(0.001)
    assert httpx.post(f"{narrow.url}/v1/classify", json=ASK, timeout=60).status_code == 200


def test_requests_that_come_together_share_batches(server: Served) -> None:
    def sizes() -> tuple[float, float]:
        text = httpx.get(f"{server.url}/metrics", timeout=60).text
        found = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
        kind = '{kind="image"}'
        return float(found[f"unseen_batch_size_sum{kind}"]), float(
            found[f"unseen_batch_size_count{kind}"]
        )

    httpx.post(f"{server.url}/v1/classify", json=ASK, timeout=60)
    pictures, batches = sizes()
    with stuck(server) as go, ThreadPoolExecutor(17) as pool:
        asked = [
            pool.submit(httpx.post, f"{server.url}/v1/classify", json=ASK, timeout=30)
            for _ in range(17)
        ]
        until(lambda: server.app.state.service.images.pending == 17)
        until(lambda: server.app.state.service.images._expected == 0)
        go.set()
        answers = [one.result() for one in asked]
    assert {answer.status_code for answer in answers} == {200}
    assert len({json.dumps(answer.json()) for answer in answers}) == 1, "whatever the batch"
    more, turns = sizes()
    assert more - pictures == 17 and turns - batches <= 4


def test_a_label_set_asked_for_by_many_is_encoded_once(server: Served) -> None:
    encoder = server.app.state.service.encoder
    run, texts = encoder.encode_once, []
    encoder.encode_once = lambda some: texts.extend(some) or run(some)
    try:
        ask = {"image": PNG, "labels": ["vermilion ring", "teal heart"]}
        with ThreadPoolExecutor(12) as pool:
            url = f"{server.url}/v1/classify"
            answers = list(pool.map(lambda _: httpx.post(url, json=ask, timeout=30), range(12)))
    finally:
        del encoder.encode_once
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(t for t in texts if "vermilion" in t or "teal" in t) == [
        "This is a photo of teal heart.",
        "This is a photo of vermilion ring.",
    ]


# hostile clients


def hostile_pictures() -> list[tuple[str, bytes]]:
    pictures = [*hostile.truncated(), *hostile.flipped(), *hostile.strange()]
    whole = hostile.encoded("JPEG")
    for seed in range(100):
        rng = random.Random(seed)
        pictures.append((f"noise {seed}", whole[:20] + rng.randbytes(rng.randrange(1, 400))))
    return pictures


def test_hostile_pictures(server: Served) -> None:
    """At least 300: each is an answer or a 400, none an error of the server."""
    pictures = hostile_pictures()
    assert len(pictures) >= 300
    statuses: dict[int, int] = {}
    with server.client() as client:
        for i, (name, content) in enumerate(pictures):
            if i % 2:
                ask = {"image": base64.b64encode(content).decode(), "labels": ["a", "b"]}
                answer = client.post("/v1/classify", json=ask)
            else:
                answer = client.post(
                    "/v1/classify", files={"image": (name, content)}, data={"labels": "a,b"}
                )
            assert answer.status_code in (200, 400), (name, answer.text)
            statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert statuses[200] > 50 and statuses[400] > 50, statuses
        assert client.get("/readyz").status_code == 200


PATHS = (
    "/v1/embed", "/v1/search", "/v1/similar", "/v1/labelsets/a", "/", "/v1/models", "/%00", "/%ff",
    "//", "/..%2f..%2fetc/passwd", "/page/..%2fapp.py", "/page/%00", "/v1/pictures/-1/thumbnail",
    "/v1/pictures/99999999999999999999/thumbnail",
)  # fmt: skip


def mutations() -> Iterator[bytes]:
    """Requests that are broken in the line, the head, the framing or the body."""
    good = request()
    multipart = (
        b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; "
        b"boundary=x\r\nContent-Length: 94\r\n\r\n"
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        b"abc\r\n--x--\r\n"
    )
    values: list[Any] = [None, 1, -1, 1e308, True, "", "a", [], {}, [[]], [None], {"a": None}, "\0"]
    for key in ("image", "images", "labels", "labelset", "template", "background", "multi_label",
                "top_k", "min_score"):  # fmt: skip
        for value in values:
            yield request(body=json.dumps({**ASK, key: value}).encode())
    for path in PATHS:
        for method in ("GET", "POST", "PUT", "DELETE", "TRACE", "PATCH", "HEAD"):
            for body in (b"", b"{}", b"[]", b'{"texts":[1]}'):
                yield request(path, body, method)
    rng = random.Random(7)
    for seed in range(500):
        mutated = bytearray(good if seed % 2 else multipart)
        for _ in range(1 + seed % 8):
            at = rng.randrange(len(mutated))
            kind = rng.randrange(3)
            if kind == 0:
                mutated[at] = rng.randrange(256)
            elif kind == 1:
                del mutated[at : at + rng.randrange(1, 9)]
            else:
                mutated[at:at] = rng.randbytes(rng.randrange(1, 9))
        yield bytes(mutated)


def test_malformed_requests(hasty: Served) -> None:
    """At least 1,000: what is answered is no error of the server, and it goes on answering."""
    broken = list(mutations())
    assert len(broken) >= 1000

    def once(content: bytes) -> bytes:
        with connected(hasty.url) as sock, contextlib.suppress(OSError):
            sock.sendall(content)
            return sock.recv(1 << 16)
        return b""

    def ask(content: bytes) -> int | None:
        answer = once(content)
        for _ in range(50):
            if b"\r\nretry-after: " not in answer.lower():
                break
            time.sleep(0.2)  # too busy for it, which is no answer to what was asked
            answer = once(content)
        return int(answer.split(b" ", 2)[1]) if answer else None

    with ThreadPoolExecutor(32) as pool:
        said = list(pool.map(ask, broken))
    wrong = [(broken[i], status) for i, status in enumerate(said) if status and status >= 500]
    assert wrong == []
    statuses = Counter(said)
    assert statuses[422] > 50 and statuses[404] > 50 and statuses[400] > 20, statuses
    assert httpx.post(f"{hasty.url}/v1/classify", json=ASK, timeout=60).status_code == 200


# the end, and workers


def test_sigterm_answers_what_was_asked_and_ends_with_0(shapes_clip: Path) -> None:
    with (
        commanded("-m", str(shapes_clip)) as served,
        ThreadPoolExecutor(8) as pool,
        stopping() as stop,
    ):
        assert served.command is not None
        lost, answered = [], []

        def ask() -> None:
            with httpx.Client(timeout=60) as client:
                while not stop.is_set():
                    try:
                        answered.append(
                            client.post(f"{served.url}/v1/classify", json=ASK).status_code
                        )
                    except httpx.ConnectError:
                        return  # nobody listens any more
                    except httpx.TransportError as error:
                        lost.append(repr(error))
                        return

        asking = [pool.submit(ask) for _ in range(8)]
        until(lambda: len(answered) > 40)
        start = time.monotonic()
        served.command.send_signal(signal.SIGTERM)
        assert served.command.wait(60) == 0
        assert time.monotonic() - start < 40
        stop.set()
        for one in asking:
            one.result()
    assert lost == []
    assert set(answered) == {200}


@pytest.mark.skipif(os.name == "nt", reason="workers are killed with SIGKILL")
def test_a_killed_worker_is_replaced_and_only_its_own_requests_fail(shapes_clip: Path) -> None:
    with (
        commanded("-m", str(shapes_clip), "--workers", "2") as served,
        ThreadPoolExecutor(8) as pool,
        stopping() as stop,
    ):
        until(lambda: sum(line["event"] == "ready" for line in served.lines()) == 2, 180)
        failed, answered = [], []

        def ask() -> None:
            while not stop.is_set():
                try:
                    answer = httpx.post(f"{served.url}/v1/classify", json=ASK, timeout=60)
                    answered.append(answer.status_code)
                except httpx.TransportError as error:
                    failed.append(error)

        asking = [pool.submit(ask) for _ in range(8)]
        until(lambda: len(answered) > 40)
        children = _children(served.command.pid)
        assert len(children) == 2
        os.kill(children[0], signal.SIGKILL)
        until(lambda: sum(line["event"] == "ready" for line in served.lines()) == 3, 180)
        more = len(answered) + 40
        until(lambda: len(answered) > more)
        stop.set()
        for one in asking:
            one.result()
        assert len(failed) <= 8, "at most what it was working on, and what had reached it"
        assert set(answered) <= {200, 503}
        text = httpx.get(f"{served.url}/metrics", timeout=60).text
        metrics = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
        assert metrics["unseen_ready"] == "2.0"
        if sys.platform == "linux":
            workers = [Path(f"/proc/{one}/statm") for one in _children(served.command.pid)]
            pages = sum(int(path.read_text().split()[1]) for path in workers)
            resident = float(metrics['unseen_memory_bytes{kind="resident"}'])
            assert resident == pytest.approx(pages * os.sysconf("SC_PAGE_SIZE"), rel=0.2)
            # They share the libraries, and the files of the model.
            assert float(metrics['unseen_memory_bytes{kind="proportional"}']) < 0.9 * resident
        series = 'http_requests_total{method="POST",route="/v1/classify",status="200"}'
        # A request is counted after its last byte: one that the killed worker had just answered
        # may be missing, at most one a client.
        difference = answered.count(200) - float(metrics[series])
        assert 0 <= difference <= 8, "the workers count together"
        assert any("replaced" in line["event"] for line in served.lines())
        served.command.send_signal(signal.SIGTERM)
        assert served.command.wait(60) == 0
        until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))


def _children(pid: int) -> list[int]:
    """The workers: children that are Python processes with the model, not the resource tracker."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid and "spawn_main" in (entry / "cmdline").read_text():
                    found.append(int(entry.name))
    return sorted(found)


# files


def compiled(client: httpx.Client, url: str, version: int) -> bool:
    """Until then the version before answers."""
    found = client.get(url).json()
    return bool(found["version"] == version and found["status"] == "ready")


def test_a_label_file_is_a_set_and_is_read_again(shapes_clip: Path, tmp_path: Path) -> None:
    file = tmp_path / "things.txt"
    file.write_text("red circle\nblue square\n")
    home = {"UNSEEN_HOME": str(tmp_path / "home")}
    command = ("-m", str(shapes_clip), "--labels", str(file))
    with commanded(*command, **home) as served, served.client() as client:
        url = "/v1/labelsets/things"
        until(lambda: client.get(url).status_code == 200)
        assert client.get(url).json()["version"] == 1
        file.write_text("red circle\nblue square\ngreen star\n")
        until(lambda: compiled(client, url, 2))
        file.write_text("\n")  # what cannot be read leaves what there was
        until(lambda: any(line["event"] == "label file not used" for line in served.lines()))
        assert client.get(url).json()["version"] == 2
        if hasattr(signal, "SIGHUP"):
            file.write_text("ring\ncross\n")
            served.command.send_signal(signal.SIGHUP)
            until(lambda: compiled(client, url, 3))
        said = client.post("/v1/classify", json={"image": PNG, "labelset": "things"})
        assert said.json()["labelset"]["version"] == 3


def test_no_label_file_ends_the_watcher(shapes_clip: Path, tmp_path: Path) -> None:
    file = tmp_path / "things.yaml"
    file.write_text("[red circle, blue square]")
    home = {"UNSEEN_HOME": str(tmp_path / "home")}
    broken = ["red: {threshold: high}", "red: {prompts: true}", "[" * 20_000, '["\\ud800"]']
    command = ("-m", str(shapes_clip), "--labels", str(file))
    with commanded(*command, **home) as served, served.client() as client:
        url = "/v1/labelsets/things"
        until(lambda: client.get(url).status_code == 200)
        for number, content in enumerate(broken, 1):
            file.write_text(content)
            until(
                lambda number=number: (
                    number == sum(line["event"] == "label file not used" for line in served.lines())
                )
            )
        file.write_text("[red circle, blue square, green star]")
        until(lambda: compiled(client, url, 2))


@pytest.mark.parametrize("content", ["cat: {threshold: high}", "cat: {prompts: 5}", "[" * 20_000])
def test_a_broken_label_file_is_a_line_and_no_server(content: str, tmp_path: Path) -> None:
    file = tmp_path / "things.yaml"
    file.write_text(content)
    done = running.unseen("serve", "--labels", file, code=2)
    assert done.stderr.count("\n") == 1 and str(file) in done.stderr


def test_what_lies_beside_a_label_file_calibrates_its_set(
    shapes_clip: Path, tmp_path: Path
) -> None:
    file = tmp_path / "things.txt"
    file.write_text("red circle\nblue square\ngreen star\n")
    classifier = unseen.load(shapes_clip)
    pairs = [
        (shapes.draw(shapes.scene(name), seed), name if seed else "green star")
        for name in ("red circle", "blue square", "green star")
        for seed in range(4)
    ]
    made = calibrate(classifier, pairs, file)
    assert made.temperature > 1.5  # for two of the labels are wrong
    home = {"UNSEEN_HOME": str(tmp_path / "home")}
    command = ("-m", str(shapes_clip), "--labels", str(file))
    body = {"image": PNG, "labelset": "things"}
    with commanded(*command, **home) as served, served.client() as client:
        url = "/v1/labelsets/things"
        until(lambda: client.get(url).status_code == 200)
        (before,) = client.post("/v1/classify", json=body).json()["predictions"]
        made.save(beside(file))
        until(lambda: compiled(client, url, 2))
        answer = client.post("/v1/classify", json=body).json()
        assert answer["calibration"] == {"pictures": 12, "coverage": 0.9}
        (after,) = answer["predictions"]
        assert "likely" not in before and after["likely"][0] == after["label"]
        assert after["ranking"][-1]["score"] != before["ranking"][-1]["score"]
        several = client.post("/v1/classify", json={**body, "multi_label": True}).json()
        assert "likely" not in several["predictions"][0]  # it is of the other mode
        assert "calibration" not in several
        beside(file).write_text("{", "utf-8")
        until(lambda: any(line.get("used") == "the one before" for line in served.lines()))
        assert client.post("/v1/classify", json=body).json()["predictions"] == [after]
        assert client.get(url).json()["version"] == 2
        made.save(beside(file))
        file.write_text("red circle\nblue square\n")
        until(lambda: compiled(client, url, 3))
        until(lambda: any(line["event"] == "calibration not used" for line in served.lines()))
        (other,) = client.post("/v1/classify", json=body).json()["predictions"]
        assert "likely" not in other


def test_what_is_wrong_with_the_command_is_said_in_a_line(
    shapes_clip: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import subprocess
    import sys

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for options, said in {
            ("--port", port): "cannot listen at",
            ("-m", str(tmp_path / "nothing")): "nothing",
            ("--index", str(tmp_path)): "no index",
            ("--keys", str(tmp_path / "keys.txt")): "keys",
            ("--labels", str(tmp_path / "labels.txt")): "label file",
        }.items():
            run = [sys.executable, "-m", "unseen", "serve", *options]
            done = subprocess.run(run, capture_output=True, text=True, timeout=60)
            assert done.returncode == 2, done.stderr
            assert said in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_the_png_of_the_examples_is_red() -> None:
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(PNG)))
    assert image.size == (8, 8) and image.getpixel((3, 3)) == (255, 0, 0)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
def test_keys_are_read_again_on_sighup(shapes_clip: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    alice = keys.add(file, "alice")
    with (
        commanded("-m", str(shapes_clip), "--keys", str(file)) as served,
        served.client() as client,
    ):

        def status(key: str) -> int:
            bearer = {"authorization": f"Bearer {key}"}
            return client.get("/v1/labelsets", headers=bearer).status_code

        assert status(alice) == 200
        bob = keys.add(file, "bob")
        assert status(bob) == 401
        served.command.send_signal(signal.SIGHUP)
        until(lambda: status(bob) == 200)
        file.write_text("nonsense")
        served.command.send_signal(signal.SIGHUP)
        until(lambda: any(line["event"] == "keys not used" for line in served.lines()))
        assert status(alice) == status(bob) == 200


def test_workers_share_a_home_that_cannot_be_written_to(shapes_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with commanded(
        "-m", str(shapes_clip), "--workers", "2", UNSEEN_HOME=str(tmp_path / "file")
    ) as served:
        until(lambda: sum(line["event"] == "ready" for line in served.lines()) == 2)
        address = f"{served.url}/v1/labelsets/colours"
        assert httpx.put(address, json={"labels": ["red", "blue"]}, timeout=60).status_code == 201
        assert {httpx.get(address, timeout=60).status_code for _ in range(30)} == {200}
