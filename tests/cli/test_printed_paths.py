"""Paths as commands print them: byte for byte for a program, with escapes on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import shapes
from running import ROOT

pty = pytest.importorskip("pty", reason="no terminals here")
COMMON = ["-m", "tests/fixtures/shapes-clip"]
NAME = b"\xff\n\x1b[31m.png"


def run(*arguments: object, stdout: int = subprocess.PIPE) -> bytes:
    command = [sys.executable, "-m", "unseen", *map(os.fspath, arguments)]
    done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def on_a_terminal(*arguments: object) -> bytes:
    ours, theirs = pty.openpty()
    try:
        run(*arguments, stdout=theirs)
        return os.read(ours, 1 << 16)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "copy").mkdir(parents=True)
    for path in (os.fsencode(folder) + b"/" + NAME, os.fsencode(folder) + b"/copy/b.png"):
        try:
            shapes.draw(shapes.scene("red circle"), 1).save(os.fsdecode(path))
        except OSError:
            pytest.skip("this file system takes UTF-8 only")
    run("index", folder, *COMMON)
    return folder


def test_paths_exist_in_a_pipe_and_steer_no_terminal(folder: Path, tmp_path: Path) -> None:
    path, copy = os.fsencode(folder) + b"/" + NAME, os.fsencode(folder) + b"/copy/b.png"
    shown = os.fsencode(folder) + rb"/\udcff\n\x1b[31m.png"
    into = os.fsencode(tmp_path) + b"/sorted/red circle/"
    files = run("duplicates", folder, "--print0")
    assert sorted(files.split(b"\0")) == sorted([path, copy, b"", b""])
    assert path in run("duplicates", folder)
    assert shown in on_a_terminal("duplicates", folder)
    (first,) = run("search", "a circle", "--index", folder, "-0").split(b"\0")[:-1]
    assert first in (path, copy)
    sort = ["organize", folder, "-l", "red circle", *COMMON, "--into", tmp_path / "sorted"]
    plan = run(*sort, "--dry-run", "-0").split(b"\0")
    assert plan == [path, into + NAME, copy, into + b"b.png", b""] or plan == [
        copy, into + b"b.png", path, into + NAME, b"",
    ]  # fmt: skip
    assert path + b" -> " + into + NAME in run(*sort, "--dry-run")
    assert shown in on_a_terminal(*sort, "--dry-run")
