"""From settings to a process that serves: one, or a few workers and the one that minds them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.config
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.types import ASGIApp

from unseen.errors import SourceError
from unseen.system import cache
from unseen.system.cpu import usable
from unseen.web.server.connections import Connection
from unseen.web.server.core import logs
from unseen.web.server.core.settings import SHARED_METRICS, Settings

if TYPE_CHECKING:
    from unseen.classifier import Classifier

logger = logging.getLogger(logs.LOGGER)

LOOK_SECONDS = 0.2  # between two looks at the workers
REST_SECONDS = 1.0  # before a worker that ended at once is started again
BACKLOG = 2048
COULD_NOT_START = 3


def serve(settings: Settings, classifier: Classifier | None = None) -> int:
    """Serves until SIGTERM or Ctrl-C → an exit status: 0, or COULD_NOT_START.

    `classifier`: what the settings load, where that was done already; several workers are other
    processes, and each loads its own. Raises SourceError when the address cannot be had, and what
    `create_app` raises.
    """
    listener = listen(settings)
    with listener:
        if settings.workers == 1:
            return _work(settings, listener, classifier)
        return _mind(settings, listener)


def listen(settings: Settings) -> socket.socket:
    """A socket at the address. SourceError where there is none to have."""
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG, reuse_port=False)
    except OSError as error:
        raise SourceError(
            f"{settings.host}:{settings.port} cannot be listened at: {error.strerror or error}; "
            "another --port?"
        ) from None


class Server(uvicorn.Server):
    """Ends with status 0 on SIGTERM, and twice asked at once."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        numbers = [signal.SIGINT, signal.SIGTERM]
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Who has connected already is let in first."""
        for _ in range(3):
            await asyncio.sleep(0)
        await super().shutdown(sockets)

    def _stop(self, number: int, frame: Any) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


def _work(settings: Settings, listener: socket.socket, classifier: Classifier | None = None) -> int:
    """One process: the event loop, until it is asked to end."""
    from unseen.web.server.app import create_app  # noqa: PLC0415 - the minder loads no model

    logging.config.dictConfig(logs.CONFIG)
    logging.captureWarnings(True)
    failures: list[bool] = []

    def failed() -> None:
        failures.append(True)
        server.should_exit = True

    config = config_of(create_app(settings, classifier=classifier, failed=failed), settings)
    server = Server(config)
    server.run(sockets=[listener])
    return COULD_NOT_START if failures or not server.started else 0


def config_of(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How uvicorn is to serve it."""
    limits = settings.limits
    protocol = type(
        "Connection",
        (Connection,),
        {"receive_seconds": limits.receive_seconds, "most": limits.connections},
    )
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        timeout_graceful_shutdown=round(limits.drain_seconds),
        backlog=BACKLOG,
    )


# several workers


def _mind(settings: Settings, listener: socket.socket) -> int:
    """Starts the workers, replaces those that end, and ends with them."""
    logging.config.dictConfig(logs.CONFIG)
    folder = tempfile.mkdtemp(prefix="unseen-metrics-")
    os.environ[SHARED_METRICS] = folder  # before prometheus_client is imported
    os.environ["UNSEEN_HOME"] = str(cache.home())  # a temporary one is to be the same for all
    try:
        return _Minder(settings, listener).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Minder:
    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        threads = settings.load_options.threads or max(1, usable() // settings.workers)
        load_options = replace(settings.load_options, threads=threads)
        self._settings = replace(settings, load_options=load_options)
        self._listener = listener
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[BaseProcess] = []
        self._ending = False

    def run(self) -> int:
        def end(number: int, frame: Any) -> None:
            self._ending = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._tell(signal.SIGHUP))
        for _ in range(self._settings.workers):
            self._start()
        while not self._ending:
            time.sleep(LOOK_SECONDS)
            for worker in [worker for worker in self._workers if not worker.is_alive()]:
                self._workers.remove(worker)
                if worker.exitcode == COULD_NOT_START:  # another could not either
                    return self._end(COULD_NOT_START)
                self._replace(worker)
        return self._end(0)

    def _start(self) -> None:
        worker = self._context.Process(
            target=_worker, args=(self._settings, self._listener), daemon=True
        )
        worker.start()
        self._workers.append(worker)

    def _replace(self, worker: BaseProcess) -> None:
        from unseen.web.server.core import metrics  # noqa: PLC0415

        fields = {"worker": worker.pid, "exit": worker.exitcode}
        logger.warning("a worker ended and is replaced", extra={"fields": fields})
        if worker.pid is not None:
            metrics.forget(worker.pid)
        time.sleep(REST_SECONDS)
        self._start()

    def _tell(self, number: int) -> None:
        for worker in self._workers:
            if worker.pid is not None and worker.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, number)

    def _end(self, status: int) -> int:
        """SIGTERM to all, and SIGKILL to those that have not ended in time."""
        for worker in self._workers:
            worker.terminate()
        end = time.monotonic() + self._settings.limits.drain_seconds + 5
        for worker in self._workers:
            worker.join(max(0.1, end - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()
        return status


def _worker(settings: Settings, listener: socket.socket) -> None:
    sys.exit(_work(settings, listener))
