"""How many processors this process may use: in a container often fewer than the machine has."""

from __future__ import annotations

import math
import os
from pathlib import Path, PurePosixPath

GROUP = Path("/proc/self/cgroup")
GROUPS = Path("/sys/fs/cgroup")


def usable() -> int:
    """The processors that affinity and the CPU quotas of the process's cgroups (v2) allow."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13
        count = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    return max(1, min([count, *map(math.ceil, _quotas())]))


def restricted() -> int | None:
    """The same where that is fewer than there are; None where all may be used."""
    count = usable()
    return count if count < (os.cpu_count() or 1) else None


def _quotas() -> list[float]:
    """Of each cgroup that limits the process: processors' worth of time."""
    try:
        lines = GROUP.read_text("utf-8").splitlines()
    except OSError:  # not Linux
        return []
    group = next((line[3:] for line in lines if line.startswith("0::")), "/")
    parts = [part for part in PurePosixPath(group).parts if part not in ("/", "..")]
    quotas = []
    for depth in range(len(parts) + 1):
        try:
            quota, period = GROUPS.joinpath(*parts[:depth], "cpu.max").read_text("utf-8").split()
            quotas.append(int(quota) / int(period))  # "max" means no limit
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return quotas
