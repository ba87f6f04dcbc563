"""Memory that is free again, given back to the system: glibc keeps what large requests took.
Memory that will never be free, which the collector need not search. And how much there is.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
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


def memory_of(processes: Iterable[int]) -> dict[str, int]:
    """Bytes that processes have, as Linux counts them; empty elsewhere.

    `resident`: all, together. `proportional`: of a page that n processes have, each has an n-th.
    The files of a model are mapped, so what is shared is the difference.
    """
    memory = {"resident": 0, "proportional": 0}
    kinds = {"Rss": "resident", "Pss": "proportional"}
    for process in processes:
        with suppress(OSError):  # it has ended, or there is no such file
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
            for name, _, size in (line.partition(":") for line in lines):
                if name in kinds:
                    memory[kinds[name]] += 1024 * int(size.split()[0])
    return memory if memory["resident"] else {}


@cache
def _libc() -> Any:
    return ctypes.CDLL(None)
