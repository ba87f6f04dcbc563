"""Ctrl-C and SIGTERM end a command within moments, say what was kept, and show no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import shapes
from running import ROOT, unseen

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
SHAPES = ("-m", "tests/fixtures/shapes-clip")
# Of Ctrl-C as shells have it; of a signal, that the process ended by it.
STATUS = {signal.SIGINT: 130, signal.SIGTERM: -signal.SIGTERM, signal.SIGKILL: -signal.SIGKILL}
SECONDS = 20  # far more than it takes, and less than for ever: other work may share the processors
STARTED = "import unseen.__main__ as m; print('.', flush=True); m.main()"


def start(*arguments: object, code: str = STARTED) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == ".\n"
    return process


def interrupt(process: subprocess.Popen[str], number: int = signal.SIGINT) -> str:
    process.send_signal(number)
    try:
        _, text = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == STATUS[number] and "Traceback" not in text, text
    return text


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """More pictures than are encoded before the signal comes, each of another content."""
    for label in ("red circle", "blue star"):
        (tmp_path / "many" / label).mkdir(parents=True)
        shapes.draw(shapes.scene(label), 0).resize((700, 700)).save(tmp_path / "drawn.png")
        content = (tmp_path / "drawn.png").read_bytes()
        for number in range(500):
            path = tmp_path / "many" / label / f"{number}.png"
            path.write_bytes(content + number.to_bytes(2, "big"))  # after its end
    return tmp_path / "many"


@pytest.mark.parametrize("after", [0.03, 0.1, 0.2, 0.4, 0.7])
def test_it_starts_without_a_traceback(after: float) -> None:
    """While the command line is imported, and what computes."""
    process = start("classify", *["examples/cat.jpg"] * 2000, "-l", "cat,dog", *SHAPES)
    time.sleep(after)
    interrupt(process)


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "{}"),
        ("calibrate", "{}", "-l", "red circle,blue star", "-o", "{}.json"),
        ("adapt", "{}", "-o", "{}.safetensors"),
        ("label", "{}", "-l", "red circle,blue star"),
        ("labels", "doctor", "red circle,blue star", "--pictures", "{}"),
        ("organize", "{}", "-l", "red circle,blue star", "--into", "{} sorted"),
    ],
    ids=lambda command: command[0],
)
def test_what_was_kept_is_said(command: tuple[str, ...], many: Path) -> None:
    """The first line of its progress says that pictures are being encoded."""
    code = (
        "from unseen.cli.interruption import Interruption as I; count = I.count; dots = ['.']\n"
        "def show(self, n):\n"
        "    count(self, n); n and dots and print(dots.pop(), flush=True)\n"
        "I.count = show\nfrom unseen.__main__ import main; main()"
    )
    batches = () if command[0] == "labels" else ("--batch-size", "1")
    process = start(*(part.format(many) for part in command), *SHAPES, *batches, code=code)
    assert "stopped: " in interrupt(process)


EXPORTING = """
import time
from unseen.deployment import onnx_classifier
def golden(*_):
    print(".", flush=True)
    time.sleep(60)
onnx_classifier.golden = golden
from unseen.__main__ import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_export_leaves_nothing(number: int, tmp_path: Path) -> None:
    """The graph is written, and what it says of the tiny pictures is not known yet."""
    process = start("export", "-l", "red,blue", "-o", tmp_path / "x.onnx", *SHAPES, code=EXPORTING)
    assert "stopped." in interrupt(process, number)
    assert not [*tmp_path.iterdir()]


def test_an_export_that_is_killed_leaves_no_half_file(tmp_path: Path) -> None:
    """Its draft is hidden, and the next export there deletes it."""
    file = tmp_path / "x.onnx"
    process = start("export", "-l", "red,blue", "-o", file, *SHAPES, code=EXPORTING)
    interrupt(process, signal.SIGKILL)
    (draft,) = tmp_path.iterdir()
    assert draft.name.startswith(".unseen-")
    os.utime(draft / ".lock", (0, 0))  # as if it had been long ago
    unseen("export", "-l", "red,blue", "-o", file, *SHAPES)
    assert [*tmp_path.iterdir()] == [file]


def test_waiting_for_another_process_is_said_and_ends(tmp_path: Path) -> None:
    shapes.draw(shapes.scene("red circle"), 1).save(tmp_path / "a.png")
    unseen("index", tmp_path, *SHAPES)
    holder = start(
        tmp_path / ".unseen/update.lock",
        code="import sys, time, pathlib; from unseen.system.locks import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), 'it'): print('.', flush=True); time.sleep(99)",
    )
    try:
        process = start("index", tmp_path, *SHAPES)
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "waiting for another process" in line and f"(pid {holder.pid})" in line
        assert "index.sqlite" in line
        interrupt(process)
    finally:
        holder.kill()
        holder.communicate()  # which closes its pipes


def test_a_picture_that_never_comes_does_not_hold_the_process(tmp_path: Path) -> None:
    """A thread waits for its bytes inside C, and so does a lock of SQLite."""
    code = (
        "import os, sys, unseen\nfrom unseen.cli import app\n"
        "from unseen.cli.interruption import interruption\ninterruption.watch()\n"
        "class Slow:\n"
        "    name = 'slow'\n"
        "    def read(self, size=-1):\n"
        "        print('.', flush=True); return os.read(os.pipe()[0], 1)\n"
        "clf = unseen.load()\n"
        "try:\n    clf.classify(Slow(), ['cat', 'dog'])\n"
        "except KeyboardInterrupt:\n    interruption.leave()\n"
    )
    interrupt(start(code=code))


def test_a_main_thread_that_hears_nothing_is_ended(tmp_path: Path) -> None:
    database = tmp_path / "locked.sqlite"
    code = (
        "import sqlite3, sys; from unseen.cli.interruption import interruption\n"
        "a = sqlite3.connect(sys.argv[1], isolation_level=None); a.execute('BEGIN EXCLUSIVE')\n"
        "b = sqlite3.connect(sys.argv[1], timeout=600, isolation_level=None)\n"
        "interruption.watch(); interruption.count(28); print('.', flush=True)\n"
        "b.execute('BEGIN EXCLUSIVE')"
    )
    process = start(database, code=code)
    time.sleep(0.3)
    assert "stopped: 28 pictures encoded" in interrupt(process)
