"""Proposals made anew while pictures are decided, in a thread of its own: no answer waits."""

from __future__ import annotations

import threading

from unseen.annotation.labelling import Labelling
from unseen.annotation.retrain import is_due, reason_not_to, retrain
from unseen.errors import UnseenError


class Retrainer:
    """Learns from the decisions of a labelling whenever there are enough new ones."""

    def __init__(self, labelling: Labelling) -> None:
        self._labelling = labelling
        self._learnt = (labelling.retrained or {}).get("decided", 0)  # decisions at the last time
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._able = reason_not_to(labelling) is None

    def look(self, decided: int) -> None:
        """Begin to learn, if so many decisions are reason to, and it is not being done."""
        running = self._thread is not None and self._thread.is_alive()
        if not self._able or running or self._ended.is_set() or not is_due(decided, self._learnt):
            return
        self._learnt = decided
        self._thread = threading.Thread(target=self._run, name="unseen-retraining", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until what was begun is done."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Ends what was begun; each proposal stays whole, the old one or the new."""
        self._ended.set()
        self.wait()

    def _run(self) -> None:
        try:
            retrain(self._labelling, is_cancelled=self._ended.is_set)
        except UnseenError:
            self._able = False  # the file cannot be written: decisions will say so
