"""`unseen serve` under load, against its own engine: what HTTP, queues and JSON cost.

python benchmarks/serve.py                                    # builtin, small pictures
python benchmarks/serve.py --model b32 --pictures large       # a full-size CLIP, 3 megapixels
python benchmarks/serve.py --way json                         # base64 in JSON instead of a form
python benchmarks/serve.py --only overload --seconds 60
python benchmarks/serve.py --only connections --rounds 3      # the table of docs/serve.md
python benchmarks/serve.py --only crowds --only turns         # idle and slow clients
python benchmarks/serve.py --only ends --ends 100             # SIGTERM
python benchmarks/serve.py --only soak --soak 10000

Load comes from a process of its own (load.py) on the same cores, over loopback; its share of them
is printed. The engine, and a classifier that is called directly, run in turn with the server, in
processes of their own; medians are taken. Where others use the machine too, rates drift and the
CPU time of a picture holds: it is printed beside them.

A client on the same cores takes its share of them, whoever serves it, and one that asks for a
picture when it has the last one leaves the cores idle while that is decoded. So `connections` also
measures what the engine itself can do beside that client (which asks a server that does nothing, as
often as it asked ours), and called with one picture at a time.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import load
from side_by_side import ROOT, b32, photographs

import unseen

PARTS = (
    "engine", "clients", "latency", "overload", "connections", "threads", "crowds", "turns", "soak",
    "ends",
)  # fmt: skip
CONNECTIONS = (1, 8, 32, 128)
IDLE, SLOW = 2000, 500  # connections of crowds
LABELS = [f"a kind of thing, number {i}" for i in range(100)]
BOUNDARY = b"0a1b2c3d4e5f"

# Measures each time that it is told for how many seconds, and whether pictures come one by one.
ENGINE = """
import itertools, resource, sys, time, unseen
from pathlib import Path
def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
model, *paths = sys.argv[1:]
pictures = [Path(path).read_bytes() for path in paths]
encoder = unseen.load(model).encoder
list(encoder.stream_images(pictures[:32], batch_size=16))
def one_by_one():
    for picture in itertools.cycle(pictures):
        encoder.encode_pixels([encoder.pixels(picture)])
        yield None
def in_batches():
    for encoded in encoder.stream_images(itertools.cycle(pictures), batch_size=16):
        yield encoded.error
for line in sys.stdin:
    seconds, alone = line.split()
    start, used, done = time.perf_counter(), cpu(), 0
    for error in one_by_one() if alone == "True" else in_batches():
        assert error is None
        done += 1
        if done % 16 == 0 and time.perf_counter() - start > float(seconds):
            break
    print(done / (time.perf_counter() - start), (cpu() - used) / done, flush=True)
"""


# Reads requests, and answers so many of them a second with nothing: what is left of a server, when
# only the cost of its client is to be known.
NULL = """
import asyncio, collections, sys
waiting = collections.deque()
class Null(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.missing, self.head = transport, 0, b""
    def data_received(self, data):
        if not self.missing:
            self.head += data
            head, end, rest = self.head.partition(b"\\r\\n\\r\\n")
            if not end:
                return
            self.missing = int(head.lower().partition(b"content-length: ")[2].split()[0])
            self.head, data = b"", rest
        self.missing -= len(data)
        if not self.missing:
            waiting.append(self.transport)
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Null, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    due = loop.time()
    while True:
        due = max(due + 1 / float(sys.argv[1]), loop.time() - 0.1)
        await asyncio.sleep(max(0, due - loop.time()))
        if waiting:
            waiting.popleft().write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
asyncio.run(main())
"""


# `unseen serve`, and what the longest turn of its event loop takes of the processor, which others
# on the machine do not change: from SIGUSR1 on, written at the end.
TURNS = """
import asyncio, signal, sys, time
from pathlib import Path
longest = [0.0]
turn = asyncio.base_events.BaseEventLoop._run_once
def measured(loop):
    start = time.thread_time()
    turn(loop)
    longest[0] = max(longest[0], time.thread_time() - start)
asyncio.base_events.BaseEventLoop._run_once = measured
signal.signal(signal.SIGUSR1, lambda *_: longest.__setitem__(0, 0.0))
path = Path(sys.argv.pop(1))
from unseen.__main__ import main
try:
    main()
finally:
    path.write_text(str(longest[0]))
"""


# Opens connections that send nothing, as many as are given, again when they are closed; and others
# that send a request byte by byte.
CROWD = """
import asyncio, sys, time
port, idle, slow, seconds = (float(value) for value in sys.argv[1:])
head = b"POST /v1/classify HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Length: 10000\\r\\n\\r\\n"
end = time.monotonic() + seconds
async def one(drips):
    while time.monotonic() < end:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
            if drips:
                writer.write(head)
                while not reader.at_eof() and time.monotonic() < end:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(1)
            else:
                await asyncio.wait_for(reader.read(), max(0.1, end - time.monotonic()))
            writer.close()
        except (OSError, asyncio.TimeoutError):
            pass
        await asyncio.sleep(1)
async def main():
    await asyncio.gather(*(one(i < slow) for i in range(int(idle + slow))))
asyncio.run(main())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="builtin", help="builtin, b32, or what `load` takes")
    parser.add_argument("--pictures", choices=("small", "large"), default="small")
    parser.add_argument("--way", choices=("form", "json"), default="form")
    parser.add_argument("--only", choices=PARTS, action="append", help="repeatable; default: all")
    parser.add_argument("--seconds", type=float, default=20.0, help="of overload")
    parser.add_argument("--each", type=float, default=5.0, help="seconds of each turn")
    parser.add_argument("--rounds", type=int, default=5, help="turns")
    parser.add_argument("--soak", type=int, default=10_000, help="requests")
    parser.add_argument("--ends", type=int, default=100, help="times that SIGTERM is sent")
    parser.add_argument("--index", type=Path, help="of an index, for the soak's searches")
    parser.add_argument("--option", action="append", default=[], help="more for `unseen serve`")
    options = parser.parse_args()
    parts = options.only or PARTS
    model = str(b32()) if options.model == "b32" else options.model
    paths = pictures_of(options.pictures)
    requests = [classify_request(path.read_bytes(), options.way) for path in paths]
    size = statistics.mean(map(len, requests)) / 1e3
    print(f"{options.model}, {len(paths)} pictures, {size:.0f} kB a request ({options.way})")
    print(f"{os.cpu_count()} cores, load average before: {os.getloadavg()[0]:.1f}")
    index = [] if options.index is None else ["--index", str(options.index)]
    with server(model, [*index, *options.option]) as (port, pid):
        load.run(load.Job(port, requests, clients=4, number=64))  # labels, first inferences
        idle_p99 = 0.0
        if "engine" in parts or "clients" in parts or "overload" in parts:
            idle_p99 = throughput(model, paths, port, pid, requests, options)
        if "latency" in parts:
            latency(model, paths, port, requests)
        if "overload" in parts:
            overload(port, pid, requests, idle_p99, options)
        if "connections" in parts:
            connections(model, paths, port, requests, options)
        if "threads" in parts:
            threads(port, requests)
        if "crowds" in parts:
            crowds(port)
        if "turns" in parts:
            turns(model, requests)
        if "soak" in parts:
            soak(port, pid, paths, options.soak, searches=options.index is not None)
    if "ends" in parts:
        for workers in (1, 2):
            ends(model, requests, options.ends, workers)
    print(f"load average after: {os.getloadavg()[0]:.1f}")


# what is measured


def throughput(
    model: str, paths: list[Path], port: int, pid: int, requests: list[bytes], options: Any
) -> float:
    """Engine and server in turn → p99 of a client alone."""
    engine: list[list[float]] = []
    found: dict[int, list[dict[str, Any]]] = {32: [], 1: [], 8: []}
    with engine_of(model, paths) as measure:
        for _ in range(options.rounds):
            engine.append(measure(options.each))
            for clients, results in found.items():
                before = cpu_of(pid)
                result = load.run(load.Job(port, requests, clients=clients, seconds=options.each))
                used = cpu_of(pid) - before
                result["server"] = used / max(1, result["statuses"].get("200", 0))
                results.append(result)
    rate = statistics.median(rate for rate, _ in engine)
    cpu = statistics.median(cpu for _, cpu in engine)
    print(
        f"engine, batches of 16: {rate:.1f} pictures/s ({spread([rate for rate, _ in engine])}), "
        f"{1e3 * cpu:.1f} ms of CPU a picture"
    )
    for clients, results in sorted(found.items()):
        each = [r["counts"].get("200 in time", 0) / options.each for r in results]
        middle = {p: median_of(results, p) for p in ("50", "95", "99")}
        asking = statistics.median(r["cpu"] / sum(r["statuses"].values()) for r in results)
        serving = statistics.median(r["server"] for r in results)
        print(
            f"{clients:3} clients: {statistics.median(each):.1f}/s ({spread(each)}), p50 "
            f"{1e3 * middle['50']:.1f} p95 {1e3 * middle['95']:.1f} p99 "
            f"{1e3 * middle['99']:.1f} ms; CPU {1e3 * serving:.1f} ms a picture, and "
            f"{1e3 * asking:.1f} to ask; "
            f"{answers(results)}"
        )
    ratio = statistics.median(
        r["counts"].get("200 in time", 0) / options.each / e
        for r, (e, _) in zip(found[32], engine, strict=True)
    )
    of_cpu = statistics.median(
        e / (r["server"] + r["cpu"] / r["statuses"].get("200", 1))
        for r, (_, e) in zip(found[32], engine, strict=True)
    )
    print(f"32 clients / engine: {ratio:.2f}; of CPU, load generator included: {of_cpu:.2f}")
    return median_of(found[1], "99")


def latency(
    model: str, paths: list[Path], port: int, requests: list[bytes], pairs: int = 300
) -> None:
    """What a client alone waits more than a caller in the same process: picture by picture."""
    classifier = unseen.load(model)
    labels = classifier.compile(LABELS)
    contents = [path.read_bytes() for path in paths]
    direct, served = [], []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(10 + pairs):
            start = time.perf_counter()
            classifier.classify(contents[i % len(contents)], labels)
            middle = time.perf_counter()
            ask(connection, requests[i % len(requests)])
            direct.append(middle - start)
            served.append(time.perf_counter() - middle)
    direct, served = direct[10:], served[10:]
    a, b = statistics.median(direct), statistics.median(served)
    more = [b - a for a, b in zip(direct, served, strict=True)]
    quarters = [1e3 * q for q in statistics.quantiles(more, n=4)]
    print(
        f"a client alone, medians of {pairs} in turn: called {1e3 * a:.2f} ms, over HTTP "
        f"{1e3 * b:.2f} ms; difference {quarters[1]:+.2f} ms ({quarters[0]:+.2f} to "
        f"{quarters[2]:+.2f})"
    )


def ask(connection: socket.socket, request: bytes) -> None:
    """One request, and all of its answer, which has to be 200."""
    connection.sendall(request)
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    first, _, rest = answer.partition(b"\r\n\r\n")
    missing = int(first.lower().partition(b"content-length: ")[2].split()[0]) - len(rest)
    while missing > 0:
        missing -= len(connection.recv(65536))
    assert first.startswith(b"HTTP/1.1 200"), first


def overload(
    port: int, pid: int, requests: list[bytes], idle_p99: float, options: argparse.Namespace
) -> None:
    """Three times as many as can be answered, for a while, whatever the answers. What can be is
    measured before and after each turn, by a closed loop: rates drift within a minute."""

    def capacity() -> float:
        result = load.run(load.Job(port, requests, clients=32, seconds=10))
        return result["counts"]["200 in time"] / 10

    shares = []
    for _ in range(options.rounds):
        before = capacity()
        job = load.Job(port, requests, clients=32, seconds=options.seconds, rate=3 * before)
        used = cpu_of(pid)
        result = load.run(job)
        used = cpu_of(pid) - used
        after = capacity()
        good = result["counts"].get("200 in time", 0) / options.seconds
        shares.append(good / ((before + after) / 2))
        print(
            f"overload, {job.rate:.0f}/s for {options.seconds:.0f} s: {answers([result])}\n"
            f"  goodput {good:.1f}/s, {shares[-1]:.2f} of capacity ({before:.1f} before, "
            f"{after:.1f} after)\n"
            f"  the server had {used / result['seconds']:.2f} cores, "
            f"{1e3 * used / max(1, result['statuses'].get('200', 0)):.1f} ms of CPU for each "
            "picture that was answered, refusals included"
        )
        for status, times in result["percentiles"].items():
            bound = 2 + 2 * idle_p99 if status == "200" else 0.1
            print(
                f"  {status}: p50 {1e3 * times['50']:.0f} p99 {1e3 * times['99']:.0f} ms "
                f"(bound {1e3 * bound:.0f})"
            )
        share = result["cpu"] / result["seconds"]
        print(f"  load generator {100 * share:.0f} % of a core; {result['counts']}")
    print(
        f"overload, goodput of capacity, median of {options.rounds}: "
        f"{statistics.median(shares):.2f} ({min(shares):.2f}-{max(shares):.2f})"
    )


def connections(
    model: str, paths: list[Path], port: int, requests: list[bytes], options: Any
) -> None:
    """Good answers a second against the engine's rate, which is measured before each row and after
    it: closed loops without a pause, and open ones of three times that rate."""
    print(
        "| loop | connections | of the engine | the engine beside that client | of that |", end=""
    )
    print(" p50 / p95 / p99 ms | refused, p99 ms |\n|---|---|---|---|---|---|---|")
    jobs: list[tuple[str, int]] = [("closed", number) for number in CONNECTIONS]
    with engine_of(model, paths) as measure:
        for loop, number in [*jobs, ("open, 3 times", 32)]:
            rows: list[tuple[float, float, float]] = []
            results = []
            for _ in range(options.rounds):
                before = measure(options.each)[0]
                arrivals = None if loop == "closed" else 3 * before
                job = load.Job(
                    port, requests, number, options.seconds, rate=arrivals, patient=False
                )
                result = load.run(job)
                beside = beside_client(measure, job, result, options.each)
                rate = (before + measure(options.each)[0]) / 2
                good = result["counts"].get("200 in time", 0) / options.seconds
                rows.append((good / rate, beside / rate, good / beside))
                results.append(result)
                others = set(result["statuses"]) - {"200", "503"}
                assert not others and not result["counts"].get("no Retry-After"), result["counts"]
            shares = (f"{statistics.median(column):.2f}" for column in zip(*rows, strict=True))
            middle = " / ".join(f"{1e3 * median_of(results, p):.0f}" for p in ("50", "95", "99"))
            refused = [r["percentiles"]["503"]["99"] for r in results if "503" in r["statuses"]]
            count = sum(r["statuses"].get("503", 0) for r in results)
            late = 1e3 * max(refused, default=0)
            print(f"| {loop} | {number} | {' | '.join(shares)} | {middle} | {count}, {late:.0f} |")
        pairs = [(measure(options.each, True)[0], measure(options.each)[0]) for _ in range(3)]
        alone = statistics.median(one / many for one, many in pairs)
        print(f"the engine, called with one picture at a time: {alone:.2f} of its rate in batches")


def beside_client(
    measure: Callable[..., list[float]], job: load.Job, result: dict[str, Any], seconds: float
) -> float:
    """Pictures a second of the engine, while the same client is answered as often by nobody."""
    answers = sum(result["statuses"].values()) / result["seconds"]
    command = [sys.executable, "-c", NULL, str(answers)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as null,
        ThreadPoolExecutor(1) as pool,
    ):
        assert null.stdout is not None
        port = int(null.stdout.readline())
        asking = pool.submit(load.run, replace(job, port=port, seconds=seconds + 1.5))
        time.sleep(0.5)  # until it has begun
        rate = measure(seconds)[0]
        asking.result()
        null.terminate()
    return rate


def threads(port: int, requests: list[bytes], number: int = 32, pictures: int = 400) -> None:
    """What a pool of threads loses, each with a connection, that asks no picture twice."""
    load.run(load.Job(port, requests, clients=1, number=4))
    result = load.run(load.Job(port, requests, clients=number, number=pictures, patient=False))
    print(f"{number} threads, {pictures} pictures, {result['seconds']:.0f} s: {answers([result])}")


def turns(model: str, requests: list[bytes]) -> None:
    """What the longest turn of the event loop takes of the processor, beside such a crowd."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "longest"
        with server(model, [], start=["-c", TURNS, str(result)]) as (port, pid):
            load.run(load.Job(port, requests, clients=4, number=64))
            os.kill(pid, signal.SIGUSR1)
            crowds(port)
        print(f"  longest turn of the loop: {1e3 * float(result.read_text()):.0f} ms of CPU")


def crowds(port: int, seconds: float = 40.0) -> None:
    """/healthz on a connection of its own each time, while idle and slow clients come."""
    print(f"{IDLE} idle and {SLOW} slow connections, {seconds:.0f} s:")
    crowd = subprocess.Popen(
        [sys.executable, "-c", CROWD, str(port), str(IDLE), str(SLOW), str(seconds)]
    )
    times, failed = [], 0
    while crowd.poll() is None:
        start = time.perf_counter()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10):
                times.append(time.perf_counter() - start)
        except OSError:
            failed += 1
        time.sleep(0.02)
    print(
        f"  /healthz {len(times)} times, {failed} failed: p50 {1e3 * statistics.median(times):.1f} "
        f"p99 {1e3 * load.percentile(times, 99):.0f} max {1e3 * max(times):.0f} ms"
    )


def _end_under_load(port: int, pid: int) -> None:
    """SIGTERM, a moment after the first answers: the load starts when its process is up."""
    series = b'http_requests_total{method="POST",route="/v1/classify",status="200"}'
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            if series in answer.read():
                break
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(pid, signal.SIGTERM)


def ends(model: str, requests: list[bytes], number: int, workers: int) -> None:
    """SIGTERM under load, again and again: what was asked and not answered."""
    lost = asked = 0
    slowest = 0.0
    for turn in range(1, number + 1):
        with server(model, ["--workers", str(workers)], ended=True) as (port, pid):
            job = load.Job(port, requests[:8], clients=16, seconds=1.5)
            ending = threading.Thread(target=_end_under_load, args=(port, pid))
            ending.start()
            result = load.run(job)
            ending.join()
            start = time.perf_counter()
        slowest = max(slowest, time.perf_counter() - start)
        asked += sum(result["statuses"].values())
        lost += result["counts"].get("connection lost", 0)
        print(
            f"\rSIGTERM {turn} times, {workers} worker(s): {lost} of {asked} answers lost; the end "
            f"took {slowest:.1f} s at most",
            end="",
            flush=True,
        )
    print()


def soak(port: int, pid: int, paths: list[Path], number: int, *, searches: bool) -> None:
    """Memory, files and threads of the server, before and after many requests of every kind.

    Before: when its caches of prompts and label sets are full, which are bounded (16 MB each).
    """
    mixed = mixed_requests(paths, searches)
    load.run(load.Job(port, mixed, clients=8, number=3500))
    states = [state(pid)]
    results = []
    for turn in range(5):
        part = mixed[turn * 800 :] + mixed[: turn * 800]
        results.append(load.run(load.Job(port, part, clients=8, number=number // 5)))
        states.append(state(pid))
    print(
        f"soak, {number} requests, {sum(r['seconds'] for r in results):.0f} s: {answers(results)}"
    )
    for what, before in states[0].items():
        growth = 100 * (states[-1][what] / before - 1)
        print(f"  {what}: {' '.join(f'{one[what]:.0f}' for one in states)} ({growth:+.1f} %)")


@contextmanager
def engine_of(model: str, paths: list[Path]) -> Iterator[Callable[..., list[float]]]:
    """The engine alone, in a process of its own: seconds → pictures a second, and their CPU."""
    command = [sys.executable, "-c", ENGINE, model, *map(str, paths)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdin is not None and child.stdout is not None
    lines, results = child.stdin, child.stdout

    def measure(seconds: float, alone: bool = False) -> list[float]:
        print(seconds, alone, file=lines, flush=True)
        return [float(number) for number in results.readline().split()]

    try:
        yield measure
    finally:
        child.stdin.close()
        child.wait()


# requests


def pictures_of(size: str) -> list[Path]:
    """32 of 3 megapixels, or 64 small ones, of every kind."""
    if size == "large":
        return photographs(32)
    paths = sorted((ROOT / "tests" / "photographs").rglob("*.jpg"))
    return random.Random(0).sample(paths, min(64, len(paths)))


def classify_request(picture: bytes, way: str, labels: list[str] = LABELS) -> bytes:
    if way == "form":
        return form("/v1/classify", picture, {"labels": json.dumps(labels)})
    image = base64.b64encode(picture).decode()
    return body("/v1/classify", {"image": image, "labels": labels})


def body(path: str, data: Any) -> bytes:
    return head(path, "application/json", json.dumps(data).encode())


def form(path: str, picture: bytes, fields: dict[str, str]) -> bytes:
    parts = [
        b'--%s\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n%s\r\n" % (BOUNDARY, picture)
    ]
    for name, value in fields.items():
        parts.append(
            b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
            % (BOUNDARY, name.encode(), value.encode())
        )
    content = b"".join(parts) + b"--%s--\r\n" % BOUNDARY
    return head(path, f"multipart/form-data; boundary={BOUNDARY.decode()}", content)


def head(path: str, kind: str, content: bytes) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return lines.encode() + content


def mixed_requests(paths: list[Path], searches: bool) -> list[bytes]:
    """Every kind of work, labels that are always new among it, and every kind of mistake."""
    chance = random.Random(1)
    contents = [path.read_bytes() for path in paths]
    found = []
    for i in range(4000):
        picture = contents[i % len(contents)]
        image = base64.b64encode(picture).decode()
        new = [f"thing {chance.random()}" for _ in range(3)]
        kinds = [
            lambda p=picture: classify_request(p, "form"),
            lambda p=picture: classify_request(p, "json"),
            lambda p=picture, n=new: classify_request(p, "form", n),
            lambda m=image: body("/v1/embed", {"images": [m, m]}),
            lambda n=new: body("/v1/embed", {"texts": n, "encoding": "base64"}),
            lambda m=image: body("/v1/classify", {"images": [m, "!"], "labels": LABELS[:5]}),
            lambda p=picture: classify_request(p[: len(p) // 3], "form"),
            lambda: head("/v1/classify", "application/json", b'{"image":'),
            lambda: body("/v1/classify", {"labels": 3}),
            lambda i=i: b"GET /nothing/%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % i,
            lambda: b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        ]
        if searches:
            kinds.append(lambda n=new: body("/v1/search", {"texts": n, "top": 10}))
            kinds.append(lambda m=image: body("/v1/similar", {"image": m, "top": 10}))
        found.append(kinds[i % len(kinds)]())
    return found


# the server, and what is known of it


@contextmanager
def server(
    model: str, more: list[str], *, ended: bool = False, start: Sequence[str] = ("-m", "unseen")
) -> Iterator[tuple[int, int]]:
    """`unseen serve` on a free port, warm → its port and process id. `ended`: it will have had its
    signal inside. `start`: how Python starts it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, *start, "serve", "--model", model]
        process = subprocess.Popen([*command, "--port", str(port), *more], stderr=log)
        wait_until_ready(port, process)
        try:
            yield port, process.pid
        finally:
            if not ended:
                process.send_signal(signal.SIGTERM)
            status = process.wait(120)
            if status != 0:
                log.seek(0)
                sys.stderr.write(log.read().decode()[-3000:])
                print(f"the server ended with status {status}")


def wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 600  # beside other work
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise SystemExit("the server has not become ready.")


def state(pid: int) -> dict[str, float]:
    """Memory, files and threads of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return {
        "resident MB": int(status["VmRSS"].split()[0]) / 1024,
        "open files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
        "threads": int(status["Threads"]),
    }


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def median_of(results: list[dict[str, Any]], percent: str) -> float:
    return statistics.median(r["percentiles"]["200"][percent] for r in results)


def spread(values: list[float]) -> str:
    return f"{min(values):.1f}-{max(values):.1f}"


def answers(results: list[dict[str, Any]]) -> str:
    """How many of each status, and what else there was to say."""
    counts: dict[str, int] = {}
    for result in results:
        for status, number in result["statuses"].items():
            counts[status] = counts.get(status, 0) + number
        for what, number in result["counts"].items():
            if not what.endswith("in time"):
                counts[what] = counts.get(what, 0) + number
    return ", ".join(f"{status}: {number}" for status, number in sorted(counts.items()))


if __name__ == "__main__":
    main()
