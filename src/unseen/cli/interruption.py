"""Ctrl-C and SIGTERM: a KeyboardInterrupt, what was kept by then, and an end where nothing answers.

A library that waits inside C (a lock of SQLite, a picture of a slow disk) lets Python see no
signal. A thread that is woken by the signal itself then ends the process; whatever is written to
the disk may be stopped at any point.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any, NoReturn

NUMBERS = (signal.SIGINT, signal.SIGTERM)
UNHEARD_SECONDS = 0.7  # the main thread has not even seen the signal
CLOSING_SECONDS = 5.0  # it has, and writes what it has
LEAVING_SECONDS = 1.0  # all is written, and nothing may hold it any more


class Interruption:
    """What is known of Ctrl-C and SIGTERM in this process."""

    def __init__(self) -> None:
        self.encoded = 0  # pictures that are kept in an index, or in the cache
        self.explained = False  # a command has said what it kept
        self.seen = False
        self._number: int = signal.SIGINT
        self._deadline = float("inf")

    def watch(self) -> None:
        """From now on Ctrl-C or SIGTERM is a KeyboardInterrupt, and an end within seconds."""
        for number in NUMBERS:
            signal.signal(number, self._interrupt)
        if os.name != "posix":  # Windows wakes sockets only
            return
        awake, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        threading.Thread(target=self._end_in_time, args=(awake,), daemon=True).start()

    def count(self, encoded: int) -> None:
        """So many pictures of this run are encoded and kept."""
        self.encoded = max(self.encoded, encoded)

    @property
    def state(self) -> str:
        """What there is to say, for people."""
        if not self.encoded:
            return "stopped."
        return f"stopped: {self.encoded} pictures encoded, and kept; run it again to go on."

    def leave(self) -> NoReturn:
        """End the process: what is still to be said, and what was to be done at its end.

        Not by `sys.exit`, which waits for threads that read, and after an interrupted `exec` (any
        dataclass has one) ends by the signal, not with 130.
        """
        self._deadline = time.monotonic() + LEAVING_SECONDS
        if not self.explained:
            sys.stderr.write(self.state + "\n")
            self.explained = True
        atexit._run_exitfuncs()  # a temporary home is deleted
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        if self._number == signal.SIGTERM:  # its parent is told that it ended by the signal
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        os._exit(128 + self._number)

    def _interrupt(self, number: int, frame: Any) -> NoReturn:
        self.seen, self._number = True, number
        self._deadline = time.monotonic() + CLOSING_SECONDS
        raise KeyboardInterrupt

    def _end_in_time(self, awake: int) -> None:
        while (number := os.read(awake, 1)[0]) not in NUMBERS:
            continue
        if signal.getsignal(number) != self._interrupt:  # a server has its own way to end
            return
        if not self.seen:
            time.sleep(UNHEARD_SECONDS)
        while self.seen and time.monotonic() < self._deadline:
            time.sleep(0.05)
        if not self.explained:
            os.write(2, (self.state + "\n").encode())
        os._exit(128 + number)


interruption = Interruption()
