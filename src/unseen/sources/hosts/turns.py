"""A few connections to a host at a time, for all processes of this machine together.

A list of addresses is mostly one of a single host, and a job has several workers: what counts is
what the host sees. A slot is a lock on a file in the folder for temporary files, which the system
gives back when its process ends, however it ends. Where no such folder can be had, each process
counts for itself.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import random
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from unseen.system.locks import give_back, hold

PER_HOST = 4  # connections at a time
WAIT_SECONDS = 0.02  # between two looks at slots that are all taken, on average

_LOCK = threading.Lock()
_TURNS: dict[str, tuple[threading.BoundedSemaphore, int]] = {}  # host → its turns, and their users


@contextmanager
def turn(host: str) -> Iterator[None]:
    """Wait for one of the connections of a host, and hold it.

    Parameters
    ----------
    host : str
        Its name.
    """
    with _LOCK:
        turns, users = _TURNS.get(host, (threading.BoundedSemaphore(PER_HOST), 0))
        _TURNS[host] = (turns, users + 1)
    try:
        with turns, _slot(host):
            yield
    finally:
        with _LOCK:
            turns, users = _TURNS.pop(host)
            if users > 1:
                _TURNS[host] = (turns, users - 1)


@contextmanager
def _slot(host: str) -> Iterator[None]:
    """One of the slots that the processes of this user share."""
    folder = _folder()
    if folder is None:
        yield
        return
    digest = hashlib.sha256(host.lower().encode("utf-8", "replace")).hexdigest()[:16]
    files = [folder / f"{digest}-{number}.lock" for number in range(PER_HOST)]
    lock = _first_free(files)
    try:
        yield
    finally:
        if lock is not None:
            give_back(lock)


def _first_free(files: list[Path]) -> FileLock | None:
    """A lock on one of the files, waited for; None where files cannot be locked here."""
    while True:
        for file in random.sample(files, len(files)):
            try:
                lock = hold(file)
            except (OSError, NotImplementedError):
                return None
            if lock is not None:
                return lock
        time.sleep(random.uniform(0.5, 1.5) * WAIT_SECONDS)


def _folder() -> Path | None:
    """A folder of this user alone; None where another has taken its name, or none can be made."""
    try:
        folder = Path(tempfile.gettempdir(), f"unseen-connections-{_user()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except (OSError, KeyError):
        return None
    is_own = not hasattr(os, "getuid") or facts.st_uid == os.getuid()
    return folder if is_own and stat.S_ISDIR(facts.st_mode) else None


def _user() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()
