"""Memory that is free again, given back to the system: glibc keeps what large requests took. And
memory that will never be free, which the collector need not search.
"""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress
from functools import cache
from typing import Any

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt: <malloc.h>
LARGE = 16 * 1024 * 1024


def return_large_blocks() -> None:
    """From now on a block of 16 MB or more goes back when it is freed.

    By default the first that is freed raises that bound to 32 MB, and each thread that decodes then
    keeps up to twice as much.
    """
    with suppress(AttributeError, OSError, TypeError):  # musl, macOS, Windows
        for option in (MMAP_THRESHOLD, TRIM_THRESHOLD):
            _libc().mallopt(option, LARGE)


def give_back() -> None:
    """Gives free pages back."""
    with suppress(AttributeError, OSError, TypeError):
        _libc().malloc_trim(ctypes.c_size_t(0))


def spare_the_collector() -> None:
    """What there is when the server is warm will stay: the collector does not look at it again.

    It would do so, with all requests waiting, whenever a flood of clients has made enough objects.
    """
    gc.collect()
    gc.freeze()


@cache
def _libc() -> Any:
    return ctypes.CDLL(None)
