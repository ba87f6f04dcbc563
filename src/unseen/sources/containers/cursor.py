"""What can only be read from start to end, asked for its items by name."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from unseen.sources.item import Source

RECENT_ITEMS = 256
RECENT_BYTES = 64 * 1024 * 1024


class Cursor:
    """A place in a stream of items, which goes on when a later one is asked for.

    Threads ask for what follows one another a little out of order: the items that were passed last
    are remembered. For one before these the stream begins anew.

    Parameters
    ----------
    read : callable
        Gives the items from the first, or from one that is not behind the key that it is called
        with; called again for each new beginning.
    key : callable
        An item → what it is asked for by.
    most : int, optional
        How many items are passed before the stream begins anew, where that is the shorter way.
    """

    def __init__(
        self,
        read: Callable[[str], Iterator[Source]],
        key: Callable[[Source], str | None],
        most: int | None = None,
    ) -> None:
        self._read, self._key, self._most = read, key, most
        self._lock = threading.Lock()
        self._items: Iterator[Source] = iter(())
        self._recent: OrderedDict[str, Source] = OrderedDict()
        self._bytes = 0

    def item(self, key: str) -> Source | None:
        """The first item of this key; None where the stream has none."""
        with self._lock:
            if key in self._recent:
                return self._recent[key]
            item = self._search(key, self._most)
            if item is None:
                self._items = self._read(key)
                self._recent.clear()
                self._bytes = 0
                item = self._search(key, None)
            return item

    def _search(self, key: str, most: int | None) -> Source | None:
        for item in islice(self._items, most):
            own = self._key(item)
            if own is None or own in self._recent:
                continue
            self._recent[own] = item
            self._bytes += _size(item.content)
            while len(self._recent) > 1 and (
                len(self._recent) > RECENT_ITEMS or self._bytes > RECENT_BYTES
            ):
                _, oldest = self._recent.popitem(last=False)
                self._bytes -= _size(oldest.content)
            if own == key:
                return item
        return None


def _size(content: Any) -> int:
    return len(content) if isinstance(content, (bytes, memoryview)) else 0
