"""`POST /v1/explain` of a server: the first answer, later ones, and classification beside them.

    python benchmarks/explain_served.py [-m MODEL]

The first request compiles the networks that explain, chooses the method and encodes the concepts:
$UNSEEN_HOME is a fresh one. On a machine that has done so before, these are read.
"""

from __future__ import annotations

import argparse
import base64
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import httpx
from side_by_side import photographs

LABELS = ["cat", "dog", "bird", "car", "castle", "tree", "boat", "flower"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-m", "--model", default="builtin")
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "unseen", "serve", "-q", "--port", str(port)]
        environment = {**os.environ, "UNSEEN_HOME": home}
        server = subprocess.Popen(
            [*command, "-m", options.model], env=environment, stderr=subprocess.DEVNULL
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                measure(client)
        finally:
            server.terminate()
            server.wait()


def measure(client: httpx.Client) -> None:
    while True:
        try:
            if client.get("/readyz").status_code == 200:
                break
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    files = [base64.b64encode(path.read_bytes()).decode() for path in photographs(12)]

    def explain(picture: str, labels: list[str] = LABELS) -> float:
        start = time.perf_counter()
        body = {"image": picture, "labels": labels, "map": "none", "all_labels": True, "more": []}
        while client.post("/v1/explain", json=body).status_code == 503:
            time.sleep(0.5)
        return time.perf_counter() - start

    def classify() -> float:
        start = time.perf_counter()
        client.post("/v1/classify", json={"image": files[0], "labels": LABELS}).raise_for_status()
        return time.perf_counter() - start

    print(f"first explanation: {explain(files[0]):.1f} s")
    print(f"another picture: {1000 * statistics.median(map(explain, files[1:])):.0f} ms")
    explain(files[0], LABELS[:6])
    print(f"other labels of a picture: {1000 * explain(files[0], LABELS[:5]):.0f} ms")
    classify()
    alone = sorted(classify() for _ in range(40))
    ended = threading.Event()

    def go_on() -> None:
        number = 0
        while not ended.is_set():
            explain(files[number % len(files)], [*LABELS, f"label {number}"])
            number += 1

    threads = [threading.Thread(target=go_on) for _ in range(3)]
    for thread in threads:
        thread.start()
    beside = sorted(classify() for _ in range(40))
    ended.set()
    for thread in threads:
        thread.join()
    for name, seconds in (("alone", alone), ("beside three that explain", beside)):
        median, slow = statistics.median(seconds), seconds[int(0.95 * len(seconds))]
        print(f"classify {name}: median {1000 * median:.0f} ms, p95 {1000 * slow:.0f} ms")


if __name__ == "__main__":
    main()
