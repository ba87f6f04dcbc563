"""Locks between processes."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from unseen.system.locks import give_back, hold, locked


@pytest.mark.parametrize("of_another_process", [True, False])
def test_who_waits_for_another_process_says_so_after_a_second(
    of_another_process: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, entered, go_on = tmp_path / "a.lock", threading.Event(), threading.Event()

    def other() -> None:
        with locked(path, "the file"):
            entered.set()
            go_on.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    assert entered.wait(60)
    if of_another_process:
        (tmp_path / "a.lock.pid").write_text("1")
    timer = threading.Timer(1.5, go_on.set)
    timer.start()
    with caplog.at_level(logging.WARNING, "unseen"), locked(path, "the file"):
        pass
    thread.join()
    said = "waiting for another process that writes the file (pid 1)" in caplog.text
    assert said == of_another_process
    caplog.clear()
    with locked(path, "the file"):
        pass
    assert not caplog.records
    assert not list(tmp_path.glob("*.pid"))


def test_one_holds_and_leaves_no_file(tmp_path: Path) -> None:
    lock = hold(tmp_path / "a.lock")
    assert lock is not None
    code = (
        "import sys, pathlib; from unseen.system.locks import hold\n"
        "print(hold(pathlib.Path(sys.argv[1])) is None)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "a.lock")]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "True\n"
    give_back(lock)
    give_back(lock)  # once is enough, twice does no harm
    assert not list(tmp_path.iterdir())
    # A process that is killed holds nothing any more.
    code += "\nimport os; os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.lock")], capture_output=True)
    lock = hold(tmp_path / "a.lock")
    assert lock is not None
    give_back(lock)
