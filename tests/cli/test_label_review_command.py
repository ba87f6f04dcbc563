"""`unseen label review` as a process: its address, its end, and what a kill leaves."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from reviewing import OWN, Birds, doubtful, flock

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}\b")
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def birds(tmp_path: Path) -> Birds:
    return flock(tmp_path / "birds", doubtful(5))


@pytest.fixture
def start() -> Iterator[Start]:
    """The command, with no screen for a browser."""
    running: list[subprocess.Popen[str]] = []

    def begin(folder: Path, *options: str) -> subprocess.Popen[str]:
        environment = {
            k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")
        }
        command = [sys.executable, "-m", "unseen", "label", "review", str(folder), *options]
        running.append(
            subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        )
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def entered(process: subprocess.Popen[str]) -> Iterator[httpx.Client]:
    assert process.stderr is not None
    line = process.stderr.readline()
    address = ADDRESS.search(line)
    assert address, line
    url = address[0].partition("/?")[0]
    with httpx.Client(base_url=url, headers=OWN, timeout=30) as client:
        client.get(address[0]).raise_for_status()
        yield client


def none_fits(client: httpx.Client, id: str) -> bool:
    one = {"id": id, "verdict": "none", "label": None, "before": None}
    answer = client.post("/api/decide", json={"decisions": [one]})
    return bool(answer.json()["results"][0]["saved"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_quietly_and_says_what_comes_next(
    birds: Birds, start: Start, number: signal.Signals
) -> None:
    with birds.open() as labelling:
        labelling.decide(birds.ids["bird00.png"], "skip")
    process = start(birds.folder, "--port", "0")
    with entered(process) as client:
        assert none_fits(client, birds.ids["bird01.png"])
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said.splitlines() == [
        "2 of 5 pictures are reviewed, 1 now, 3 are left.",
        f"next: unseen label export {birds.folder} -o dataset/",
    ]


def test_what_was_answered_outlives_a_kill(birds: Birds, start: Start) -> None:
    saved = []
    for id in birds.ids.values():
        process = start(birds.folder, "--port", "0")
        with entered(process) as client:
            assert none_fits(client, id)
            process.kill()
            process.wait(30)
        saved.append(id)
        with birds.open() as labelling:
            assert {p.id for p in labelling.pictures() if p.verdict} == set(saved)


def test_a_port_that_is_taken(birds: Birds, start: Start) -> None:
    first = start(birds.folder, "--port", "0")
    with entered(first) as client:
        port = str(client.base_url.port)
        _, said = start(birds.folder, "--port", port).communicate(timeout=30)
    assert f"cannot listen at 127.0.0.1:{port}" in said and "another --port" in said


def test_a_folder_without_a_labelling(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "there is no labelling 'labels' here; make one: unseen label" in said


def test_open_starts_a_browser_at_the_whole_address(
    birds: Birds, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, written = tmp_path / "browser.sh", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{written}"\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    process = start(birds.folder, "--port", "0", "--open")
    with entered(process) as client:
        end = time.monotonic() + 30
        while not (written.is_file() and written.read_text()):
            assert time.monotonic() < end, "no browser was started"
            time.sleep(0.05)
        token = client.cookies.get(f"unseen-review-{client.base_url.port}")
    assert written.read_text().strip() == f"http://127.0.0.1:{client.base_url.port}/?token={token}"
