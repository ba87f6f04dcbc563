"""A folder of strange files: each is a row with an error at once, with an index and without one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import shapes
from running import ROOT
from unseen.sources.expand import expand

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
SECONDS = 300  # of a process that would otherwise wait for ever
COMMON = ["-m", "tests/fixtures/shapes-clip"]
LABELS = ["-l", "a red circle,a blue star"]


def run(
    *arguments: object, code: int = 0, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "unseen", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, timeout=SECONDS, input=given)
    assert done.returncode == code, done.stderr
    assert b"Traceback" not in done.stderr
    return done


@pytest.fixture
def red(tmp_path: Path) -> Path:
    path = tmp_path / "red.png"
    shapes.draw(shapes.scene("red circle"), 1).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, red: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "photos"
    (folder / "folder.jpg").mkdir(parents=True)
    (folder / "album.jpg").mkdir()
    shutil.copy(red, folder / "album.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "broken.jpg").symlink_to("nowhere.jpg")
    monkeypatch.chdir(folder)  # the name of a socket is at most 107 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.jpg")
    return folder


REASONS = {
    "broken.jpg": "it is a link to nowhere.jpg, which is not there",
    "folder.jpg": "this is a folder",
    "pipe.jpg": "this is a named pipe, not a file",
    "socket.jpg": "this is a socket, not a file",
}


def test_each_strange_file_is_a_row_with_and_without_an_index(folder: Path) -> None:
    plain = run("classify", folder, *LABELS, *COMMON, "--jsonl", code=1)
    report = json.loads(run("index", folder, *COMMON, "--json", code=1).stdout)
    assert (report["encoded"], report["failed"]) == (1, 4)
    again = json.loads(run("index", folder, *COMMON, "--json").stdout)
    assert again["unchanged"] == 5
    indexed = run("classify", folder, *LABELS, *COMMON, "--jsonl", code=1)
    assert b"from the index" in indexed.stderr
    for done in (plain, indexed):
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        errors = {Path(row["source"]).name: row.get("error") for row in rows}
        assert errors.pop("red.png") is None
        assert errors.keys() == REASONS.keys()
        assert all(REASONS[name] in error for name, error in errors.items())


def test_a_glob_gives_them_too(folder: Path) -> None:
    done = run("classify", f"{folder}/*.jpg", *LABELS, *COMMON, "--jsonl", code=1)
    assert len(done.stdout.splitlines()) == len(REASONS)


def test_label_and_organize_leave_them_where_they_are(folder: Path, tmp_path: Path) -> None:
    done = run("label", folder, *LABELS, *COMMON, code=1)
    assert REASONS["pipe.jpg"].encode() in done.stderr
    into = tmp_path / "sorted"
    run("organize", folder, *LABELS, *COMMON, "--into", into, code=1)
    assert [path.name for path in into.rglob("*.png")] == ["red.png"]


def test_a_picture_on_standard_input(red: Path) -> None:
    for source in ("-", "/dev/stdin"):
        done = run("classify", source, *LABELS, *COMMON, "--jsonl", given=red.read_bytes())
        row = json.loads(done.stdout)
        assert (row["source"], row["label"]) == (source, "a red circle")
    assert b"give - once" in run("classify", "-", "-", *LABELS, *COMMON, code=2).stderr
    done = run("classify", "-", *LABELS, *COMMON, code=1)
    assert b"it is empty" in done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_folder_that_cannot_be_listed_is_an_item(tmp_path: Path, red: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    try:
        assert [Path(source.name).name for source in expand(tmp_path)] == ["red.png", "closed"]
    finally:
        (tmp_path / "closed").chmod(0o700)
