"""A webhook: each message is posted until it is taken, over restarts, from files on the disk."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.errors import SourceError
from unseen.monitoring.backoff import Backoff
from unseen.monitoring.messages import idempotency_key
from unseen.monitoring.sinks import WEBHOOK, Problems
from unseen.sources.http import check_url, post
from unseen.system import cache
from unseen.system.locks import give_back, hold

if TYPE_CHECKING:
    from filelock import FileLock

    from unseen.types import AddressCheck

POST_SECONDS = 10.0
SPOOL_BYTES = 64 * 1024 * 1024  # then the oldest messages are given up
REFUSED = frozenset({400, 405, 406, 410, 411, 413, 414, 415, 422})  # however often it is tried
SPOOLS = 64  # processes that post to one address


def signature(secret: str, body: bytes) -> str:
    """What a receiver compares with the header X-Unseen-Signature.

    >>> signature("key", b"{}")[:15]
    'sha256=a777724d'
    """
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


class Webhook:
    """Messages are posted, one after another, in order.

    Parameters
    ----------
    url : str
        http or https, without a password. A redirect is not followed.
    secret : str, optional
        Signs each body.
    spool : Path, optional
        The folder where messages wait. None: of this address, in `$UNSEEN_HOME`.
    spool_bytes : int
        What it may hold.
    backoff : Backoff, optional
        Between tries.
    check_address : callable, optional
        As in `unseen.sources.http.fetch`.

    Raises
    ------
    SourceError
        If the address is none, or there is no place to wait.
    """

    name = WEBHOOK

    def __init__(
        self,
        url: str,
        *,
        secret: str | None = None,
        spool: Path | None = None,
        spool_bytes: int = SPOOL_BYTES,
        backoff: Backoff | None = None,
        check_address: AddressCheck | None = None,
    ) -> None:
        check_url(url)
        self._url, self._secret, self._check = url, secret, check_address
        folder, lock = _own_folder(spool or _folder_of(url))
        self._spool = _Spool(folder, lock, spool_bytes)
        self._backoff = backoff or Backoff()
        self._problems = Problems()
        self._new = threading.Event()
        self._closed = threading.Event()
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._run, name="unseen-webhook", daemon=True)
        self._thread.start()

    def put(self, message: dict[str, Any]) -> None:
        """A message to deliver, soon."""
        body = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        try:
            given_up = self._spool.add(idempotency_key(message), body)
        except OSError as error:
            self._problems.failed(f"webhook: a message cannot be kept: {error}")
            return
        if given_up:
            self._problems.say(f"webhook: {given_up} messages were given up; the spool is full.")
        self._new.set()

    def close(self, seconds: float) -> None:
        """Nothing more comes; what is not delivered by then waits for the next start."""
        self._deadline = time.monotonic() + seconds
        self._closed.set()
        self._new.set()
        self._thread.join(seconds + POST_SECONDS)
        waiting = len(self._spool)
        if waiting:
            self._problems.say(f"webhook: {waiting} messages wait for the next start.")
        self._spool.close()

    def problems(self) -> list[str]:
        """What went wrong since the last call."""
        return self._problems.take()

    def _run(self) -> None:
        while True:
            self._new.clear()
            while (first := self._spool.first()) is not None:
                if time.monotonic() > self._deadline:
                    return
                if self._post(*first):
                    self._backoff.reset()
                    self._spool.remove(first[0])
                elif self._closed.wait(self._backoff.seconds()):
                    return
            if self._closed.is_set():
                return
            self._new.wait()

    def _post(self, path: Path, key: str, body: bytes) -> bool:
        """Whether a message is done with: it was taken, or never will be."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if self._secret:
            headers["X-Unseen-Signature"] = signature(self._secret, body)
        try:
            status = post(
                self._url,
                body,
                max_seconds=POST_SECONDS,
                check_address=self._check,
                headers=headers,
            )
        except SourceError as error:
            self._problems.failed(f"webhook: {error}")
            return False
        if status in REFUSED:
            self._problems.say(f"webhook: the server answers {status}; a message was given up.")
            return True
        if not 200 <= status < 300:
            self._problems.failed(f"webhook: the server answers {status}; it is tried again.")
            return False
        self._problems.works()
        return True


class _Spool:
    """Messages as files, in order; the name of a file holds the key of its message."""

    def __init__(self, folder: Path, held: FileLock, max_bytes: int) -> None:
        self.folder, self._held, self._max_bytes = folder, held, max_bytes
        self._lock = threading.Lock()
        for leftover in folder.glob("*.part"):
            leftover.unlink(missing_ok=True)
        files = sorted(folder.glob("*.json"))
        self._files = deque((path, path.stat().st_size) for path in files)
        self._bytes = sum(size for _, size in self._files)
        self._number = 0

    def __len__(self) -> int:
        return len(self._files)

    def add(self, key: str, body: bytes) -> int:
        """One more; how many were given up for it."""
        self._number += 1
        path = self.folder / f"{time.time_ns():020d}-{self._number % 10**6:06d}-{key}.json"
        part = path.with_suffix(".part")
        part.write_bytes(body)
        part.replace(path)
        given_up = 0
        with self._lock:
            self._files.append((path, len(body)))
            self._bytes += len(body)
            while self._bytes > self._max_bytes and len(self._files) > 1:
                self._forget(self._files[0][0])
                given_up += 1
        return given_up

    def first(self) -> tuple[Path, str, bytes] | None:
        """The oldest: its file, its key and its body."""
        while True:
            with self._lock:
                if not self._files:
                    return None
                path = self._files[0][0]
            try:
                return path, path.stem.split("-", 2)[2], path.read_bytes()
            except (OSError, IndexError):  # deleted by somebody
                self.remove(path)

    def remove(self, path: Path) -> None:
        with self._lock:
            if self._files and self._files[0][0] == path:
                self._forget(path)

    def _forget(self, path: Path) -> None:
        _, size = self._files.popleft()
        self._bytes -= size
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def close(self) -> None:
        give_back(self._held)


def _folder_of(url: str) -> Path:
    return cache.home() / "outbox" / hashlib.sha256(url.encode()).hexdigest()[:16]


def _own_folder(folder: Path) -> tuple[Path, FileLock]:
    """The folder, and its lock, or one beside it where another process posts from it."""
    for number in range(SPOOLS):
        one = folder if number == 0 else folder.with_name(f"{folder.name}-{number}")
        try:
            one.mkdir(parents=True, exist_ok=True)
            one.chmod(0o700)
            lock = hold(one / "lock")
        except OSError as error:
            raise SourceError(f"{one}: messages cannot be kept here: {error.strerror}.") from None
        if lock is not None:
            return one, lock
    raise SourceError(f"{folder}: {SPOOLS} processes post to this address.")
