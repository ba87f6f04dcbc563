"""A database that several threads use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CLOSED_WHILE_READ = """
import sqlite3, sys, threading
from pathlib import Path
from unseen.system.sqlite import connect

sys.setswitchinterval(1e-5)


def read(database, begun):
    begun.wait()
    try:
        while True:
            for number in range(50):
                database.execute(f"SELECT {number} + a FROM t WHERE a = ?", (number,)).fetchall()
    except sqlite3.ProgrammingError as error:
        assert "closed" in str(error), error


for _ in range(60):
    database = connect(Path(sys.argv[1]), ["CREATE TABLE t (a INTEGER)"], "table")
    begun = threading.Barrier(4)
    threads = [threading.Thread(target=read, args=(database, begun)) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait()
    database.execute("SELECT 1").fetchall()
    database.close()
    for thread in threads:
        thread.join()
print("closed")
"""


def test_a_thread_that_reads_when_it_is_closed_gets_an_error(tmp_path: Path) -> None:
    """In a process of its own: memory that was freed would end it by a signal."""
    command = [sys.executable, "-c", CLOSED_WHILE_READ, tmp_path / "t.sqlite"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "closed\n", "")
