"""A cache of bounded size: the entries used last stay, the others go."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class ByteLRU(Generic[K, V]):
    """Entries of at most `max_bytes` together. Safe to use from several threads.

    `size_of` gives the bytes of one value. A value that alone is larger than `max_bytes` is not
    stored, unless `keep_last`: then the newest entry always stays.
    """

    def __init__(
        self, max_bytes: int, size_of: Callable[[V], int], *, keep_last: bool = False
    ) -> None:
        self.max_bytes = max_bytes
        self._size_of = size_of
        self._least = 1 if keep_last else 0  # entries that stay, whatever their size
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The value, which is then the one used last; None where there is none."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: K, value: V) -> None:
        """Stores a value, in place of an older one of that key."""
        size = self._size_of(value)
        with self._lock:
            self._remove(key)
            self._entries[key] = value, size
            self._bytes += size
            while self._bytes > self.max_bytes and len(self._entries) > self._least:
                self._remove(next(iter(self._entries)))

    def discard_if(self, condition: Callable[[K], bool]) -> None:
        """Removes the entries whose key meets a condition."""
        with self._lock:
            for key in [key for key in self._entries if condition(key)]:
                self._remove(key)

    def _remove(self, key: K) -> None:
        _, size = self._entries.pop(key, (None, 0))
        self._bytes -= size
