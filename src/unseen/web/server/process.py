"""From settings to a process that serves: one, or several workers under a supervisor."""

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

CHECK_SECONDS = 0.2  # between two checks of the workers
RESTART_SECONDS = 1.0  # before a worker that ended is started again
BACKLOG = 2048
COULD_NOT_START = 3


def serve(settings: Settings, classifier: Classifier | None = None) -> int:
    """Serves until SIGTERM or Ctrl-C.

    Parameters
    ----------
    settings : Settings
        How the server is set up.
    classifier : Classifier, optional
        The classifier of these settings, where it is loaded already. Several workers are processes
        of their own, and each loads its own.

    Returns
    -------
    int
        An exit status: 0, or COULD_NOT_START.

    Raises
    ------
    SourceError
        Where the address is not available; and what `create_app` raises.
    """
    listener = listen(settings)
    with listener:
        if settings.workers == 1:
            return _run_worker(settings, listener, classifier)
        return _supervise(settings, listener)


def listen(settings: Settings) -> socket.socket:
    """A socket at the address. SourceError where that is not available."""
    try:
        addresses = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = addresses[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG, reuse_port=False)
    except OSError as error:
        raise SourceError(
            f"cannot listen at {settings.host}:{settings.port}: {error.strerror or error}; choose "
            "another --port."
        ) from None


class Server(uvicorn.Server):
    """Ends with status 0 on SIGTERM; on a second Ctrl-C at once."""

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
        """Clients that have connected already are accepted first."""
        for _ in range(3):
            await asyncio.sleep(0)
        await super().shutdown(sockets)

    def _stop(self, number: int, frame: Any) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


def _run_worker(
    settings: Settings, listener: socket.socket, classifier: Classifier | None = None
) -> int:
    """One process: the event loop, until a signal ends it."""
    from unseen.web.server.app import create_app  # noqa: PLC0415 - the supervisor loads no model

    logging.config.dictConfig(logs.CONFIG)
    logging.captureWarnings(True)
    failures: list[bool] = []

    def failed() -> None:
        failures.append(True)
        server.should_exit = True

    config = uvicorn_config(create_app(settings, classifier=classifier, failed=failed), settings)
    server = Server(config)
    server.run(sockets=[listener])
    return COULD_NOT_START if failures or not server.started else 0


def uvicorn_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves an application."""
    limits = settings.limits
    protocol = type(
        "Connection",
        (Connection,),
        {
            "receive_seconds": limits.receive_seconds,
            "max_connections": limits.connections,
            "head_bytes": limits.head_bytes,
        },
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


def _supervise(settings: Settings, listener: socket.socket) -> int:
    """Starts the workers, replaces those that end, and ends them all."""
    logging.config.dictConfig(logs.CONFIG)
    folder = tempfile.mkdtemp(prefix="unseen-metrics-")
    os.environ[SHARED_METRICS] = folder  # before prometheus_client is imported
    os.environ["UNSEEN_HOME"] = str(cache.home())  # a temporary one must be the same for all
    try:
        return _Supervisor(settings, listener).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Supervisor:
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
            signal.signal(signal.SIGHUP, lambda *_: self._send(signal.SIGHUP))
        for _ in range(self._settings.workers):
            self._start()
        while not self._ending:
            time.sleep(CHECK_SECONDS)
            for worker in [worker for worker in self._workers if not worker.is_alive()]:
                self._workers.remove(worker)
                if worker.exitcode == COULD_NOT_START:  # the next one could not start either
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
        time.sleep(RESTART_SECONDS)
        self._start()

    def _send(self, number: int) -> None:
        for worker in self._workers:
            if worker.pid is not None and worker.is_alive():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, number)

    def _end(self, status: int) -> int:
        """Sends SIGTERM to all, and SIGKILL to those that do not end in time."""
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
    sys.exit(_run_worker(settings, listener))
