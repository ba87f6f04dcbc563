"""Locks between processes, released when their holder ends, however it ends; who waits says so."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import FileLock

SILENT_SECONDS = 1.0

logger = logging.getLogger(__name__)


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Held by one process or thread at a time; others wait, and say after a second for whom, if
    that is another process.

    `what` the lock guards, for people.
    """
    from filelock import FileLock, Timeout  # noqa: PLC0415 - 10 ms, and most starts lock nothing

    lock, note = FileLock(path), path.with_name(f"{path.name}.pid")
    try:
        lock.acquire(timeout=SILENT_SECONDS)
    except Timeout:
        holder = _holder(note)
        if holder != os.getpid():
            pid = "" if holder is None else f" (pid {holder})"
            logger.warning("waiting for another process that writes %s%s", what, pid)
        lock.acquire()
    try:
        with suppress(OSError):
            note.write_text(str(os.getpid()), "ascii")
        yield
    finally:
        with suppress(OSError):
            note.unlink()
        lock.release()


def _holder(note: Path) -> int | None:
    try:
        return int(note.read_text("ascii"))
    except (OSError, ValueError):
        return None


def hold(path: Path) -> FileLock | None:
    """The lock at `path`, held until `give_back`; None, at once, when another has it."""
    from filelock import FileLock, Timeout  # noqa: PLC0415 - as above

    while True:
        lock = FileLock(path, thread_local=False)  # closed by whoever reads the last row
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return None
        if path.exists():
            return lock
        lock.release()  # its last holder has just deleted it: others would lock a new one


def give_back(lock: FileLock) -> None:
    """Release a lock of `hold`, and leave no file."""
    if not lock.is_locked:
        return
    with suppress(OSError):  # Windows does not delete what is open
        Path(lock.lock_file).unlink()
    lock.release()
    if os.name == "nt":
        with suppress(OSError):
            Path(lock.lock_file).unlink()
