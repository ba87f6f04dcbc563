"""Many clients at once: who is refused, who waits, and what a refusal costs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from serving import Served, serving, until
from unseen.load_options import LoadOptions
from unseen.web.problems import Problem, overloaded
from unseen.web.server.apis.schemas import PNG
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.queues.sharing import SharedWork
from unseen.web.server.core.queues.text_queue import TextQueue
from unseen.web.server.core.settings import ServerLimits, Settings
from unseen.web.server.http.keys import Keys
from unseen.web.server.http.middleware import RouteRules, ServerMiddleware
from unseen.web.server.http.refusals import CREDIT, LONGEST, RefusalPace
from unseen.web.server.http.turns import Turns

ASK: dict[str, Any] = {"image": PNG, "labels": ["red", "blue"]}


def connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname or "", parts.port or 0), timeout=60)


def post(path: str, body: Any) -> bytes:
    content = json.dumps(body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    ).encode() + content


@pytest.fixture(scope="module")
def small(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that has room for 40 connections."""
    limits = ServerLimits(connections=40, head_seconds=3.0, receive_seconds=20.0)
    store = tmp_path_factory.mktemp("small") / "sets.sqlite"
    with serving(Settings(LoadOptions(str(shapes_clip)), label_store=store, limits=limits)) as it:
        yield it


# connections


def test_idle_connections_lock_nobody_out(small: Served) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connected(small.url)) for _ in range(200)]
        for path in ("/healthz", "/readyz", "/metrics", "/info"):
            assert httpx.get(small.url + path, timeout=60).status_code == 200
        assert httpx.post(f"{small.url}/v1/classify", json=ASK, timeout=20).status_code == 200
        idle[0].settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            assert idle[0].recv(1) == b"", "the first of them has made room"


def test_a_client_between_two_requests_is_closed_after_those_that_never_asked(
    small: Served,
) -> None:
    with small.client() as client, contextlib.ExitStack() as stack:
        assert client.get("/healthz").status_code == 200
        (before,) = {id(c) for c in small_connections(small)}
        for _ in range(60):
            stack.enter_context(connected(small.url))
        until(lambda: len(small_connections(small)) + len(silent_clients(small)) == 40)
        assert before in {id(c) for c in small_connections(small)}


def small_connections(served: Served) -> set[Any]:
    assert served.server is not None
    return set(served.server.server_state.connections)


def silent_clients(served: Served) -> set[Any]:
    """Those that have sent nothing yet."""
    assert served.server is not None
    return set(served.server.config.http_protocol_class.waiting.accepted)


def test_bodies_that_do_not_come_leave_room_for_probes(small: Served) -> None:
    """40 requests whose bodies are to come hold all places; probes have places of their own."""
    head = post("/v1/classify", ASK)[:-50]
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(connected(small.url)) for _ in range(40)]
        for sock in socks:
            sock.sendall(head)
        until(lambda: len(small_connections(small)) == 40)
        start = time.monotonic()
        assert httpx.get(f"{small.url}/healthz", timeout=60).status_code == 200
        answer = httpx.post(f"{small.url}/v1/classify", json=ASK, timeout=60)
        if time.monotonic() - start < 2.5:  # this machine was not asleep meanwhile
            assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
            assert "no room" in answer.json()["message"]
        # One that has sent nothing for `head_seconds` makes room.
        until(
            lambda: httpx.post(f"{small.url}/v1/classify", json=ASK, timeout=60).status_code == 200
        )


def test_a_head_has_its_own_time(small: Served) -> None:
    with connected(small.url) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\n")
        start = time.monotonic()
        sock.settimeout(0.2)
        while time.monotonic() - start < 30:
            try:
                sock.sendall(b"x")
                if sock.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert 2 < time.monotonic() - start < 15, "3 s, and not the 20 of a body"


def test_reading_an_answer_gives_no_time_to_send(small: Served) -> None:
    """An answer that is not read, half a head behind it; then it is read, and bytes drip."""
    texts = [f"text {i}" for i in range(1000)]
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        parts = urlsplit(small.url)
        before = small_connections(small)
        sock.connect((parts.hostname, parts.port))
        ask = post("/v1/embed", {"texts": texts})
        sock.sendall(ask[:10])
        until(lambda: small_connections(small) - before)
        for one in small_connections(small) - before:  # else a megabyte is sent without a reader
            socket_of = one.transport.get_extra_info("socket")
            socket_of.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        sock.sendall(ask[10:])
        assert sock.recv(1, socket.MSG_PEEK)
        until(lambda: any(one.flow.write_paused for one in small_connections(small)))
        sock.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n")
        time.sleep(0.5)
        sock.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while sock.recv(1 << 16):
                pass
        start = time.monotonic()
        closed = False
        while not closed and time.monotonic() - start < 15:
            try:
                sock.sendall(b"x")
                closed = sock.recv(100) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
        assert closed


# work that several wait for


def test_shared_work_ends_with_the_last_who_waits() -> None:
    async def main() -> None:
        shared: SharedWork[str, int] = SharedWork()
        begun, ended = [], []

        async def work() -> int:
            begun.append(1)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                ended.append(1)
                raise
            return 1

        first = asyncio.create_task(shared.get("a", work))
        second = asyncio.create_task(shared.get("a", work))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(begun) == 1
        first.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert "a" in shared and not ended
        second.cancel()
        for _ in range(4):
            await asyncio.sleep(0)
        assert "a" not in shared and ended == [1]
        stays = asyncio.create_task(shared.get("b", work, stays=True))
        await asyncio.sleep(0)
        stays.cancel()
        for _ in range(4):
            await asyncio.sleep(0)
        assert "b" in shared and ended == [1], "a stored set is compiled though nobody waits"
        shared.cancel()

    asyncio.run(main())


def test_labels_of_clients_that_are_gone_are_not_encoded(shapes_clip: Path, tmp_path: Path) -> None:
    """Eight clients with a thousand labels each, gone at once; then one with a new label."""
    settings = Settings(LoadOptions(str(shapes_clip)), label_store=tmp_path / "sets.sqlite")
    with serving(settings) as served:
        encoder = served.app.state.service.encoder
        run, encoded = encoder.encode_once, []

        def slow(texts: list[str]) -> Any:
            time.sleep(0.002 * len(texts))
            encoded.extend(texts)
            return run(texts)

        encoder.encode_once = slow
        for client in range(8):
            sock = connected(served.url)
            sock.sendall(
                post("/v1/classify", {**ASK, "labels": [f"{client} {i}" for i in range(1000)]})
            )
            until(lambda client=client: any(str(client) in text for text in encoded))
            sock.close()
        until(lambda: served.app.state.service.texts.batches.pending == 0)
        assert len(encoded) < 4000, "most of 8,000 was never encoded"
        answer = httpx.post(
            f"{served.url}/v1/classify", json={**ASK, "labels": ["a new one", "b"]}, timeout=60
        )
        assert answer.status_code == 200


class Slow:
    """Stands for a text net: so many seconds a text."""

    def __init__(self, seconds: float) -> None:
        self.encoded: list[str] = []
        self.queue = TextQueue(self._encode, 100, ServerLimits(), Metrics())
        self.queue.batches.assume(seconds)

    def _encode(self, texts: list[str]) -> list[Any]:
        self.encoded += texts
        self.queue.batches.assume(self.queue.batches.seconds)
        return [(text, False) for text in texts]


def test_what_cannot_be_done_in_time_is_refused_when_it_is_asked() -> None:
    async def main() -> None:
        slow = Slow(0.1)
        with pytest.raises(Problem, match="take about 100 s") as alone:
            await slow.queue.rows([str(i) for i in range(1000)])
        assert alone.value.status == 413 and slow.encoded == []
        many = asyncio.create_task(slow.queue.rows([f"a {i}" for i in range(500)]))
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="busy") as behind:
            await slow.queue.rows([f"b {i}" for i in range(500)])
        assert behind.value.status == 503
        assert list(await slow.queue.rows(["one"])) == ["one"], "a short one has its turn"
        assert "a 499" not in slow.encoded
        many.cancel()
        patient = asyncio.create_task(slow.queue.rows([str(i) for i in range(2000)], patient=True))
        await asyncio.sleep(0.01)
        assert not patient.done() or not patient.exception()
        patient.cancel()
        await slow.queue.close()

    asyncio.run(main())


def test_a_text_that_two_ask_for_is_encoded_once() -> None:
    async def main() -> None:
        slow = Slow(0.001)
        await asyncio.gather(*(slow.queue.rows(["red", "blue"]) for _ in range(20)))
        assert sorted(slow.encoded) == ["blue", "red"]
        await slow.queue.close()

    asyncio.run(main())


# refusals


class _NoWaiting(asyncio.SelectorEventLoop):
    """Its clock goes on when nothing else is to be done, so that nobody waits, and by nothing else:
    what a busy machine takes is no time."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def without_waiting(work: Coroutine[Any, Any, None]) -> float:
    """Runs it, and gives the seconds of that clock."""
    loop = _NoWaiting()
    try:
        loop.run_until_complete(work)
        return loop.time()
    finally:
        loop.close()


def seconds_of(pace: RefusalPace, number: int) -> float:
    """Until so many refusals, which come at once, have left."""

    async def main() -> None:
        await asyncio.gather(*(pace.wait() for _ in range(number)))

    return without_waiting(main())


def test_refusals_leave_at_a_bounded_rate() -> None:
    assert seconds_of(RefusalPace(lambda: 0.03), 1) == 0, "the first one waits for nobody"
    four_a_picture = seconds_of(RefusalPace(lambda: 0.03), 40)
    assert four_a_picture == pytest.approx(40 * 0.03 / 4 - CREDIT, abs=0.01)
    assert seconds_of(RefusalPace(lambda: 0.0001), 400) < 0.1, "10,000 pictures a second"
    assert seconds_of(RefusalPace(lambda: 0.03), 5000) == LONGEST, "nobody is held for longer"


@pytest.mark.parametrize("clients", [60, 92, 150])
def test_a_crowd_that_comes_back_at_once_is_refused_once_a_picture(clients: int) -> None:
    refused = 0

    async def client(pace: RefusalPace) -> None:
        nonlocal refused
        while asyncio.get_running_loop().time() < 60:
            await pace.wait()
            refused += 1
            await asyncio.sleep(0.001)

    async def main() -> None:
        pace = RefusalPace(lambda: 0.025)
        await asyncio.gather(*(client(pace) for _ in range(clients)))

    without_waiting(main())
    assert refused < 1.2 * 60 / 0.025 + 2 * clients


@pytest.mark.parametrize("pause", [0.0, 0.8, 2.0])
def test_those_who_arrive_by_themselves_are_refused_soon(pause: float) -> None:
    """More than two for each picture, as at three times what can be done; after a pause of the
    server, when more come at once than any crowd has, this is so again."""
    waits: list[float] = []

    async def arrival(pace: RefusalPace) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await pace.wait()
        waits.append(loop.time() - start)

    async def main() -> None:
        pace, chance, tasks = RefusalPace(lambda: 0.027), random.Random(0), []
        for number in range(6000):
            if not 1000 < number < 1000 + pause * 83:
                await asyncio.sleep(chance.expovariate(83))
            tasks.append(asyncio.ensure_future(arrival(pace)))
        await asyncio.gather(*tasks)

    without_waiting(main())
    assert sorted(waits[-3000:])[2970] < 0.05
    assert max(waits) < (LONGEST + 0.001 if pause > 1 else 1.0)


def test_a_refusal_that_is_held_holds_no_body() -> None:
    """One after the body was read is held as any other, and comes before that is parsed."""
    size = 20_000_000
    memory: list[int] = []
    ran: list[Any] = []
    sent: list[Any] = []

    class Pace(RefusalPace):
        async def wait(self) -> None:
            memory.append(tracemalloc.get_traced_memory()[0])

    @contextlib.contextmanager
    def refused() -> Iterator[None]:
        raise overloaded(3.0)
        yield

    async def app(*arguments: Any) -> None:
        ran.append(arguments)

    async def ready() -> None:
        pass

    async def receive() -> Any:
        return {"type": "http.request", "body": bytes(size), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    middleware = ServerMiddleware(
        app,
        metrics=Metrics(),
        limits=ServerLimits(),
        keys=Keys([]),
        rules=RouteRules(runs_network=lambda method, path: True),
        hosts=None,
        origins=frozenset(),
        until_ready=ready,
        admit=lambda: None,
        admitted=refused,
        pace=Pace(lambda: 0.03),
    )
    scope = {"type": "http", "method": "POST", "path": "/a", "query_string": b"", "headers": []}
    tracemalloc.start()
    try:
        asyncio.run(middleware(scope, receive, send))
    finally:
        tracemalloc.stop()
    assert [message.get("status") for message in sent] == [503, None]
    assert (b"retry-after", b"3") in sent[0]["headers"]
    assert ran == [] and len(memory) == 1 and memory[0] < size / 2


def test_32_threads_lose_nothing_on_a_slow_machine(server: Served) -> None:
    """Each asks again when it has its answer, as `requests` in a ThreadPoolExecutor does."""
    encoder, images = server.app.state.service.encoder, server.app.state.service.images
    run, before = encoder.encode_pixels, images.seconds

    def slow(pixels: Any) -> Any:
        time.sleep(0.05 * len(pixels))  # 20 pictures a second
        return run(pixels)

    encoder.encode_pixels = slow
    images.assume(0.05)
    try:
        with ThreadPoolExecutor(32) as pool:
            url = f"{server.url}/v1/classify"
            statuses = Counter(
                pool.map(lambda _: httpx.post(url, json=ASK, timeout=60).status_code, range(96))
            )
    finally:
        del encoder.encode_pixels
        images.assume(before)
    assert statuses == {200: 96}


def test_so_many_go_on_in_a_turn_of_the_loop() -> None:
    async def main() -> None:
        turns, begun = Turns(4), []

        async def request(number: int) -> None:
            await turns.wait()
            begun.append(number)

        tasks = [asyncio.create_task(request(number)) for number in range(12)]
        tasks[5].cancel()
        seen = []
        while len(begun) < 11:
            await asyncio.sleep(0)
            seen.append(len(begun))
        assert begun == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
        assert max(after - before for before, after in zip([0, *seen], seen, strict=False)) <= 4
        await turns.wait()  # there is room again
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    asyncio.run(main())


# while it is loaded


def test_requests_wait_for_the_model(shapes_clip: Path, tmp_path: Path) -> None:
    go = threading.Event()
    settings = Settings(LoadOptions(str(shapes_clip)), label_store=tmp_path / "sets.sqlite")

    def hold(app: Any) -> None:
        warm_up = app.state.service.warm_up
        app.state.service.warm_up = lambda: go.wait(60) and warm_up()

    with serving(settings, before=hold, wait=False) as served, ThreadPoolExecutor(8) as pool:
        try:
            until(lambda: httpx.get(f"{served.url}/healthz", timeout=60).status_code == 200)
            ask = {"subject": {"type": "base64", "value": PNG}, "prompt": ["red", "blue"]}
            early = [
                pool.submit(httpx.post, f"{served.url}/clip/compare", json=ask, timeout=60),
                pool.submit(httpx.post, f"{served.url}/v1/classify", json=ASK, timeout=60),
                pool.submit(httpx.get, f"{served.url}/v1/labelsets", timeout=60),
            ]
            refused = httpx.get(f"{served.url}/readyz", timeout=60)
            assert refused.status_code == 503 and refused.headers["retry-after"] == "2"
            for path in ("/", "/info", "/metrics", "/openapi.json"):
                assert httpx.get(served.url + path, timeout=60).status_code == 200
            assert not any(one.done() for one in early)
        finally:
            go.set()
        compared, classified, listed = (one.result() for one in early)
        assert len(compared.json()["similarity"]) == 2
        assert classified.json()["predictions"] and listed.json() == {"labelsets": []}
