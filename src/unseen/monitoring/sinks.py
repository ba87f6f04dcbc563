"""Who is told: the protocol of sinks, a queue for those that may be slow, a file, a program."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any, Protocol

from unseen.errors import SourceError

QUEUE_MESSAGES = 1_000  # that wait for a slow sink; then the oldest is given up
PROGRAM_SECONDS = 10.0
JSONL, WEBHOOK, MQTT, EXEC = "jsonl", "webhook", "mqtt", "exec"
SINKS = (JSONL, WEBHOOK, MQTT, EXEC)
EVERYTHING = (JSONL, MQTT)  # are told of each event; the others of alarms, where there are rules

UNTOLD = ("done", "learnt")  # states of a source that only a file of messages is told of


class Sink(Protocol):
    """Who is told. Nothing here waits, and nothing raises: the watching goes on."""

    name: str

    def put(self, message: dict[str, Any]) -> None:
        """A message to deliver, soon."""

    def close(self, seconds: float) -> None:
        """Nothing more comes; what can be delivered in so many seconds is."""

    def problems(self) -> list[str]:
        """What went wrong since this was called last, for people."""


class Problems:
    """What goes wrong with a sink, said once until it works again."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._failing = False
        self._lock = threading.Lock()

    def failed(self, line: str) -> None:
        """It does not work."""
        with self._lock:
            if not self._failing:
                self._lines.append(line)
            self._failing = True

    def say(self, line: str) -> None:
        """Something that is worth a line each time, but not many."""
        with self._lock:
            if len(self._lines) < 100:
                self._lines.append(line)

    def works(self) -> None:
        """It works, again."""
        with self._lock:
            self._failing = False

    def take(self) -> list[str]:
        """The lines since the last call."""
        with self._lock:
            lines, self._lines = self._lines, []
        return lines


class Queued:
    """A sink that is a function, called in a thread of its own.

    Parameters
    ----------
    name : str
        Of the sink.
    deliver : callable
        Takes a message; an OSError or SourceError of it is said.
    """

    def __init__(self, name: str, deliver: Callable[[dict[str, Any]], None]) -> None:
        self.name = name
        self._deliver = deliver
        self._waiting: deque[dict[str, Any]] = deque()
        self._condition = threading.Condition()
        self._closed = False
        self._given_up = 0
        self._problems = Problems()
        self._thread = threading.Thread(target=self._run, name=f"unseen-{name}", daemon=True)
        self._thread.start()

    def put(self, message: dict[str, Any]) -> None:
        """A message to deliver, soon."""
        with self._condition:
            if len(self._waiting) >= QUEUE_MESSAGES:
                self._waiting.popleft()
                self._given_up += 1
            self._waiting.append(message)
            self._condition.notify()

    def close(self, seconds: float) -> None:
        """Nothing more comes."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(seconds)

    def problems(self) -> list[str]:
        """What went wrong since the last call."""
        with self._condition:
            given_up, self._given_up = self._given_up, 0
        lost = f"{self.name}: {given_up} messages were given up; it is too slow."
        return self._problems.take() + ([lost] if given_up else [])

    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self._closed:
                    self._condition.wait()
                if not self._waiting:
                    return
                message = self._waiting.popleft()
            try:
                self._deliver(message)
            except (OSError, SourceError, ValueError) as error:
                self._problems.failed(f"{self.name}: {error}")
            else:
                self._problems.works()


def journal(path: Path) -> Queued:
    """A file of JSON lines, which each message is added to.

    It is opened for each of them, so that it may be moved away (logrotate). Raises SourceError
    where it cannot be written.
    """
    try:
        path.open("ab").close()
    except OSError as error:
        raise SourceError(f"{path}: cannot be written: {error.strerror or error}.") from None

    def deliver(message: dict[str, Any]) -> None:
        with path.open("ab") as file:
            file.write((json.dumps(message, ensure_ascii=False) + "\n").encode("utf-8", "replace"))

    return Queued(JSONL, deliver)


def program(command: str, seconds: float = PROGRAM_SECONDS) -> Queued:
    """A program that is started for each message, which is JSON on its standard input.

    Parameters
    ----------
    command : str
        The program and its arguments, as a shell would take them apart; there is no shell.
    seconds : float
        After which it is ended.

    Raises
    ------
    SourceError
        If there is no such program.
    """
    try:
        arguments = shlex.split(command)
    except ValueError as error:
        raise SourceError(f"--exec {command!r}: {error}.") from None
    if not arguments or which(arguments[0]) is None:
        raise SourceError(f"--exec {command!r}: there is no such program.")

    def deliver(message: dict[str, Any]) -> None:
        content = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.communicate(content, timeout=seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            raise SourceError(f"{arguments[0]} was ended after {seconds:g} s.") from None
        if process.returncode:
            raise SourceError(f"{arguments[0]} ended with {process.returncode}.")

    return Queued(EXEC, deliver)


def _end(process: subprocess.Popen[bytes]) -> None:
    """A program, and what it started."""
    if os.name == "posix":
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def wants(sink: Sink, message: dict[str, Any], *, rules: dict[str, tuple[str, ...] | None]) -> bool:
    """Whether a sink is told of a message; `rules`: the name of each → its sinks, None for all."""
    if message["type"] == "health":
        return sink.name == JSONL or message["state"] not in UNTOLD
    if message["type"] not in ("new", "update", "end"):
        return True
    if message["rule"] is None:
        return not rules or sink.name in EVERYTHING
    then = rules[message["rule"]]
    return then is None or sink.name in then or sink.name == JSONL
