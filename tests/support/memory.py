"""What code takes of memory, in a process of its own that cannot take the machine's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

START = """
import resource, sys
sys.path.insert(0, "tests/support")

def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

def begin(bytes_at_most):
    global before
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before = status("VmRSS")
    limit = status("VmData") + bytes_at_most
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

def end():
    print(status("VmHWM") - before, status("VmRSS") - before)
"""


def taken(code: str, *arguments: object, seconds: float = 60) -> tuple[int, int]:
    """Bytes that code takes between its calls of `begin(limit)` and `end()`: most, and at the end.

    Linux only.
    """
    run = subprocess.run(
        [sys.executable, "-c", START + code, *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=seconds,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    most, last = run.stdout.split()[-2:]
    return int(most), int(last)
