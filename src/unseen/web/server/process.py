"""From settings to a process that serves: one, or several workers under a supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from starlette.types import ASGIApp

from unseen.errors import SourceError
from unseen.system import cache
from unseen.system.cpu import usable
from unseen.web.server.connections import PROBE_CONNECTIONS, Connection, Waiting
from unseen.web.server.core import logs
from unseen.web.server.core.memory import return_large_blocks, spare_the_collector
from unseen.web.server.core.settings import SHARED_METRICS, Settings
from unseen.web.server.listener import ACCEPTED_AT_ONCE, BACKLOG, Listener

if TYPE_CHECKING:
    from unseen.classifier import Classifier

logger = logging.getLogger(logs.LOGGER)

CHECK_SECONDS = 0.2  # between two checks of the workers
RESTART_SECONDS = 1.0  # before a worker that ended is started again
OPEN_FILES = 65_536  # that a process may have, where the system lets it
OTHER_FILES = 128  # that are no connections of clients
COULD_NOT_START = 3


def serve(
    settings: Settings,
    classifier: Classifier | None = None,
    ready: Callable[[int], None] = lambda port: None,
) -> int:
    """Serves until SIGTERM or Ctrl-C.

    Parameters
    ----------
    settings : Settings
        How the server is set up.
    classifier : Classifier, optional
        The classifier of these settings, where it is loaded already. Several workers are processes
        of their own, and each loads its own.
    ready : callable, optional
        Called with the port, once, when the model is loaded and requests are answered.

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
        port = listener.getsockname()[1]
        if settings.workers == 1:
            return _run_worker(settings, listener, lambda: ready(port), classifier=classifier)
        return _supervise(settings, listener, lambda: ready(port))


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
    """Ends with status 0 on SIGTERM; on a second Ctrl-C at once.

    `is_warm` is asked until it says yes: then `ready` is called. `early`: connections are taken
    before that. `closing` is called when the server begins to end. `parent`: a file that is
    readable when the process that started this one is gone.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        is_warm: Callable[[], bool] = lambda: True,
        ready: Callable[[], None] = lambda: None,
        early: bool = True,
        closing: Callable[[], None] = lambda: None,
        parent: int | None = None,
    ) -> None:
        super().__init__(config)
        self._is_warm = is_warm
        self._ready: Callable[[], None] | None = ready
        self._early = early
        self._closing = closing
        self._parent = parent
        self._sockets: list[socket.socket] = []
        self._listeners: list[Listener] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[])  # the application; who listens is decided here
        if self._parent is not None:
            asyncio.get_running_loop().add_reader(self._parent, self._orphaned)
        self._sockets = [*(sockets or ())]
        if self._early:
            await self._listen()

    async def on_tick(self, counter: int) -> bool:
        if self._ready is not None and self._is_warm():
            await self._listen()
            self._ready()
            self._ready = None
        return await super().on_tick(counter)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()

        def connection() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
            )

        kind = cast("type[Connection]", self.config.http_protocol_class)
        while self._sockets:
            sock = self._sockets.pop()
            try:
                listener = Listener(sock, kind, connection, self.server_state.connections)
                self._listeners.append(listener)
                self.servers.append(listener)  # type: ignore[arg-type]  # it is closed as one
            except NotImplementedError:
                server = await loop.create_server(connection, sock=sock, backlog=ACCEPTED_AT_ONCE)
                self.servers.append(server)
            sock.listen(BACKLOG)  # asyncio has one number for both

    def _orphaned(self) -> None:
        """Nobody would end or replace this worker, and it would hold the address."""
        assert self._parent is not None
        asyncio.get_running_loop().remove_reader(self._parent)
        logger.error("the supervisor is gone: this worker ends")
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # there are no signals
            return
        numbers = [signal.SIGINT, signal.SIGTERM]
        before = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Clients that have connected already are accepted first."""
        for listener in self._listeners:
            listener.finish()
        for _ in range(3 + BACKLOG // ACCEPTED_AT_ONCE):
            await asyncio.sleep(0)
        self._closing()
        await super().shutdown(sockets)

    def _stop(self, number: int, frame: Any) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


def _run_worker(
    settings: Settings,
    listener: socket.socket,
    ready: Callable[[], None],
    *,
    classifier: Classifier | None = None,
    early: bool = True,
    parent: int | None = None,
) -> int:
    """One process: the event loop, until a signal ends it."""
    from unseen.web.server.app import create_app  # noqa: PLC0415 - the supervisor loads no model

    logs.configure()
    return_large_blocks()
    failures: list[bool] = []

    def failed() -> None:
        failures.append(True)
        server.should_exit = True

    def warm() -> None:
        spare_the_collector()
        ready()

    app = create_app(settings, classifier=classifier, failed=failed)
    server = Server(
        uvicorn_config(app, settings),
        is_warm=lambda: bool(app.state.service.ready),
        ready=warm,
        early=early,
        closing=app.state.service.watch_service.end_listening,
        parent=parent,
    )
    server.run(sockets=[listener])
    return COULD_NOT_START if failures or not server.started else 0


def _connections() -> int:
    """How many clients this process has files for: as many as the system lets it, from now on."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return OPEN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < OPEN_FILES:
        most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    open_files = OPEN_FILES if soft == resource.RLIM_INFINITY else soft
    return max(PROBE_CONNECTIONS, open_files - PROBE_CONNECTIONS - OTHER_FILES)


def uvicorn_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves an application."""
    limits = settings.limits
    protocol = type(
        "Connection",
        (Connection,),
        {
            "receive_seconds": limits.receive_seconds,
            "head_seconds": min(limits.head_seconds, limits.receive_seconds),
            "max_connections": min(limits.connections, _connections()),
            "head_bytes": limits.head_bytes,
            "waiting": Waiting(),
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


def _supervise(settings: Settings, listener: socket.socket, ready: Callable[[], None]) -> int:
    """Starts the workers, replaces those that end, and ends them all."""
    logs.configure()
    folder = tempfile.mkdtemp(prefix="unseen-metrics-")
    os.environ[SHARED_METRICS] = folder  # before prometheus_client is imported
    os.environ["UNSEEN_HOME"] = str(cache.home())  # a temporary one must be the same for all
    try:
        return _Supervisor(settings, listener).run(ready)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Supervisor:
    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        threads = settings.load_options.threads or max(1, usable() // settings.workers)
        load_options = replace(settings.load_options, threads=threads)
        self._settings = replace(settings, load_options=load_options)
        self._listener = listener
        self._context = multiprocessing.get_context("spawn")
        self._warm = self._context.Event()  # whether a worker has become ready
        self._workers: list[BaseProcess] = []
        self._ending = False

    def run(self, ready: Callable[[], None]) -> int:
        def end(number: int, frame: Any) -> None:
            self._ending = True

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, lambda *_: self._send(signal.SIGHUP))
        for _ in range(self._settings.workers):
            self._start()
        announced = False
        while not self._ending:
            time.sleep(CHECK_SECONDS)
            if not announced and self._warm.is_set():
                announced = True
                ready()
            for worker in [worker for worker in self._workers if not worker.is_alive()]:
                self._workers.remove(worker)
                if worker.exitcode == COULD_NOT_START:  # the next one could not start either
                    return self._end(COULD_NOT_START)
                self._replace(worker)
        return self._end(0)

    def _start(self) -> None:
        # A worker that is being warmed leaves clients to the others; the first one has to say that
        # none is ready yet.
        early = not any(worker.is_alive() for worker in self._workers)
        arguments = self._settings, self._listener, self._warm, early
        worker = self._context.Process(target=_worker, args=arguments, daemon=True)
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
        self._listener.close()  # else who connects now would wait here for nobody, and be reset
        for worker in self._workers:
            worker.terminate()
        end = time.monotonic() + self._settings.limits.drain_seconds + 5
        for worker in self._workers:
            worker.join(max(0.1, end - time.monotonic()))
            if worker.is_alive():
                worker.kill()
                worker.join()
        return status


def _worker(settings: Settings, listener: socket.socket, warm: Event, early: bool) -> None:
    parent = multiprocessing.parent_process()
    watched = None if parent is None or os.name == "nt" else parent.sentinel
    sys.exit(_run_worker(settings, listener, warm.set, early=early, parent=watched))
