"""How many processors this process may use: in a container often fewer than the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath

GROUP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def usable() -> int:
    """What affinity and the CPU quotas of the process's cgroup (v2) and of those above it leave."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        most = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        most = len(os.sched_getaffinity(0))
    else:
        most = os.cpu_count() or 1
    return max(1, min([most, *map(math.ceil, _quotas())]))


def restricted() -> int | None:
    """The same where that is fewer than there are; None where all may be used."""
    count = usable()
    return count if count < (os.cpu_count() or 1) else None


def _quotas() -> list[float]:
    """Of each cgroup that limits the process: processors' worth of time."""
    try:
        lines = GROUP.read_text("utf-8").splitlines()
    except OSError:  # no Linux
        return []
    mine = next((line[3:] for line in lines if line.startswith("0::")), "/")
    parts = [part for part in PurePosixPath(mine).parts if part not in ("/", "..")]
    found = []
    for depth in range(len(parts) + 1):
        try:
            quota, period = GROUPS.joinpath(*parts[:depth], "cpu.max").read_text("utf-8").split()
            found.append(int(quota) / int(period))  # "max" is no number, and no limit
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return found
