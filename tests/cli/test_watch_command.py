"""`unseen watch`, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from cameras import coloured
from films import encode, story
from running import unseen

SOON = 60.0
LABELS = "a red circle,a blue square"


def wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM is not sent there")
def test_sigterm_ends_it_after_all_was_told(tmp_path: Path, shapes_clip: Path) -> None:
    """The command, in a process: the event that goes on has an end, and the status is 0."""
    folder, out = tmp_path / "pictures", tmp_path / "events.jsonl"
    folder.mkdir()
    Image.fromarray(coloured("red")).save(folder / "a.png")
    command = [sys.executable, "-m", "unseen", "watch", f"hall={folder}", "-m", shapes_clip]
    command += ["-l", "a red circle,a blue square", "--jsonl", "-o", out, "--every", "1m"]
    command += ["--exec", f"{sys.executable} -c 1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    killer = threading.Timer(SOON, process.kill)
    killer.start()
    wait(lambda: out.exists() and '"done"' in out.read_text("utf-8"))
    process.send_signal(signal.SIGTERM)
    output, talk = process.communicate(timeout=SOON)
    killer.cancel()
    assert process.returncode == 0 and "Traceback" not in talk, talk
    assert "hall: looked at 1 of 1 samples" in talk
    rows = [json.loads(line) for line in output.splitlines()]
    assert rows == [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["type"] for row in rows] == ["health", "health", "new", "end"]
    assert rows[-1]["id"] == rows[-2]["id"]


def test_a_file_is_watched_to_its_end_by_the_rules(tmp_path: Path, shapes_clip: Path) -> None:
    film = encode(tmp_path / "a.mp4", story([("a red circle", 40), ("a blue square", 40)]))
    rules = tmp_path / "rules.yaml"
    rules.write_text("- name: blue\n  label: a blue square\n  for: 2s\n")
    options = ["-m", shapes_clip, "-l", LABELS, "--every", "500ms", "--begins", "2026-11-30T21:00"]
    done = unseen("watch", f"shop={film}", *options, "--rules", rules)
    lines = [line for line in done.stdout.splitlines() if "blue: a blue square" in line]
    assert [line.split()[2] for line in lines] == ["new", "end"]
    assert lines[0].startswith("2026-11-30 21:00:04")
    assert "shop: looked at 16 of 16 samples" in done.stderr
    rules.write_text("- name: blue\n  label: a blue sqare\n")
    wrong = unseen("watch", f"shop={film}", *options, "--rules", rules, code=2)
    expected = "rules.yaml:2: unknown label 'a blue sqare'; did you mean 'a blue square'?"
    assert wrong.stderr.strip().endswith(expected)


def test_what_cannot_be_used_is_said_before_anything_begins(tmp_path: Path) -> None:
    for options, words in (
        (["nowhere"], "no such file"),
        ([tmp_path, "--every", "soon"], "no time span"),
        ([tmp_path, "--mqtt", "localhost"], "no address of a broker"),
        ([tmp_path, "--begins", "today"], "date and time"),
    ):
        done = unseen("watch", *options, "-l", LABELS, code=2)
        assert words in done.stderr, done.stderr
