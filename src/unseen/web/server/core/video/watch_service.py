"""Sources that the server watches: one thread for all, and every listener has the messages.

A listener who does not read is dropped, so that nobody waits for it; it comes back with the number
of its last message, and has what it missed, as long as that is remembered.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.classifier import Classifier
from unseen.errors import UnseenError
from unseen.labels.compiled import CompiledLabels
from unseen.monitoring.answers import ModelAnswers
from unseen.monitoring.rule_file import read_rules
from unseen.monitoring.rules import Rule
from unseen.monitoring.sinks import SINKS
from unseen.monitoring.start import watch_compiled
from unseen.prediction.decision import Decision
from unseen.video.events import States
from unseen.web.problems import Problem
from unseen.web.server.core.encoding import Encoding
from unseen.web.server.core.logs import LOGGER

if TYPE_CHECKING:
    from unseen.monitoring.watching import Watch
    from unseen.types import Doubles, Floats, Images

logger = logging.getLogger(LOGGER)

REMEMBERED = 1000  # messages, for listeners who come back
UNREAD = 200  # messages that a listener may be behind
HEARTBEAT = 15.0  # seconds without a message, after which a line says that this lives
END_SECONDS = 5.0  # that the thread has to end
HEARTBEAT_LINE = ": alive\n\n"


@dataclass(frozen=True)
class _QueuedAnswers:
    """Of a model whose pictures wait in the queue of the server."""

    encoding: Encoding
    loop: asyncio.AbstractEventLoop
    model: ModelAnswers

    def embed(self, pictures: Sequence[Images | Path | bytes]) -> list[Floats | UnseenError]:
        return [self._embedding(picture) for picture in pictures]

    def _embedding(self, picture: Images | Path | bytes) -> Floats | UnseenError:
        """Of one: what cannot be encoded is said of its source, and the watching goes on."""
        pixels = self.encoding.encoder.pixels(picture)
        if isinstance(pixels, UnseenError):
            return pixels
        try:
            return self.encoding.encode_in_thread([pixels], self.loop)[0]
        except UnseenError as error:
            return error

    def states(self, embeddings: Floats) -> tuple[States, Floats, Doubles]:
        return self.model.states(embeddings)


class Listener:
    """Who has asked for the messages: those that it has not had yet.

    Parameters
    ----------
    lines : sequence of str
        What it is sent first.
    """

    def __init__(self, lines: Sequence[str] = ()) -> None:
        self._lines = deque(lines)
        self._most = UNREAD + len(lines)
        self._news = asyncio.Event()
        self._last = ""  # what it is told at the end
        self.closed = False

    def tell(self, line: str) -> None:
        """One more; a listener who is too far behind is dropped, and told."""
        if self.closed:
            return
        if len(self._lines) >= self._most:
            behind = len(self._lines) + 1
            self._lines.clear()
            self.close(_event("dropped", {"missed": behind, "reason": "it reads too slowly"}))
            return
        self._lines.append(line)
        self._news.set()

    def close(self, last: str) -> None:
        """No more follows, but a last word."""
        if not self.closed:
            self.closed, self._last = True, last
            self._news.set()

    async def lines(self) -> AsyncIterator[str]:
        """What it is sent, until it is closed."""
        yield HEARTBEAT_LINE  # that the answer has begun is seen at once
        while True:
            while self._lines:
                yield self._lines.popleft()
            if self.closed:
                yield self._last
                return
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), HEARTBEAT)
            except (TimeoutError, asyncio.TimeoutError):
                yield HEARTBEAT_LINE


class WatchService:
    """What `GET /v1/watch` calls. For one event loop.

    Parameters
    ----------
    encoding : Encoding
        What encodes the pictures of the sources.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._watch: Watch | None = None
        self._thread: threading.Thread | None = None
        self._listeners: set[Listener] = set()
        self._messages: deque[tuple[int, str]] = deque(maxlen=REMEMBERED)
        self._number = 0
        self._ending = False
        self._run = f"{time.time_ns() // 1_000_000:x}-{os.getpid():x}"  # tells two runs apart

    @property
    def sources(self) -> list[str]:
        """The names of what is watched."""
        return [] if self._watch is None else self._watch.sources

    def start(self, labels: CompiledLabels, decision: Decision) -> None:
        """Begins to watch the sources of the settings.

        Parameters
        ----------
        labels : CompiledLabels
            What may happen there.
        decision : Decision
            How labels are decided upon.

        Raises
        ------
        UnseenError
            If a source or the rules cannot be used.
        """
        settings, loop = self._encoding.settings, asyncio.get_running_loop()
        classifier = Classifier(self._encoding.encoder)
        model = ModelAnswers(classifier.encoder, labels, decision)
        rules: Sequence[Rule] = ()
        if settings.watch_rules is not None:
            names = [label.name for label in labels.labels if not label.background]
            rules = read_rules(settings.watch_rules, labels=names, sinks=SINKS)
        watch = watch_compiled(
            classifier,
            settings.watch,
            labels,
            decision,
            rules=rules,
            answers=_QueuedAnswers(self._encoding, loop, model),
        )
        self._watch = watch
        self._thread = threading.Thread(
            target=self._follow, args=(watch, loop), name="unseen-watch", daemon=True
        )
        self._thread.start()
        logger.info("watching", extra={"fields": {"sources": len(watch.sources)}})

    def _follow(self, watch: Watch, loop: asyncio.AbstractEventLoop) -> None:
        """In the thread: each message goes to the loop."""
        try:
            for message in watch:
                loop.call_soon_threadsafe(self._tell, message)
        except RuntimeError:  # the loop is closed
            return
        except Exception:
            logger.exception("watching ended")

    def _tell(self, message: dict[str, Any]) -> None:
        self._number += 1
        line = _event(message["type"], message, f"{self._run}-{self._number}")
        self._messages.append((self._number, line))
        for listener in [*self._listeners]:
            listener.tell(line)

    def listen(self, last_id: str | None) -> Listener:
        """A new listener, who first has what it missed since a message.

        Parameters
        ----------
        last_id : str, optional
            Of the last message that it had; None: it wants what comes from now on.

        Raises
        ------
        Problem
            404 where nothing is watched, 503 where there are too many listeners.
        """
        if not self._encoding.settings.watch:  # it may be asked before the watching has begun
            sentence = "this server watches nothing; `unseen serve --watch SOURCE` lets it."
            raise Problem(404, sentence, code="no_watch")
        if self._ending:
            raise Problem(503, "the server is ending.", code="ending", retry_after=5)
        limit = self._encoding.limits.listeners
        if len(self._listeners) >= limit:
            raise Problem(
                503,
                f"{limit} listen already, and no more may; try again later.",
                code="too_many_listeners",
                retry_after=10,
            )
        listener = Listener(self._since(last_id) if last_id else ())
        self._listeners.add(listener)
        return listener

    def _since(self, last_id: str) -> list[str]:
        """What followed a message, as far as it is remembered; first how many are not."""
        run, _, number = last_id.rpartition("-")
        same = run == self._run and number.isdecimal() and len(number) < 20
        since = int(number) if same else 0
        lines = [line for at, line in self._messages if at > since]
        forgotten = self._number - len(lines) - since
        if not same or forgotten > 0:  # of another run nobody knows how many there were
            lines.insert(0, _event("missed", {"missed": forgotten if same else None}))
        return lines

    def leave(self, listener: Listener) -> None:
        """It is gone."""
        self._listeners.discard(listener)

    def end_listening(self) -> None:
        """The server is ending: all listeners are told, and their answers end."""
        self._ending = True
        for listener in [*self._listeners]:
            listener.close(_event("bye", {"reason": "the server is ending"}))

    async def close(self) -> None:
        """Ends the watching."""
        self.end_listening()
        if self._watch is not None and self._thread is not None:
            self._watch.stop()
            await asyncio.to_thread(self._thread.join, END_SECONDS)


def _event(kind: str, message: dict[str, Any], identity: str = "") -> str:
    """A server-sent event. JSON in ASCII has no line break, whatever a source is called."""
    head = f"id: {identity}\n" if identity else ""
    return f"{head}event: {kind}\ndata: {json.dumps(message)}\n\n"
