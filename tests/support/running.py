"""The command line as a user meets it, in a process of its own."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import forking

ROOT = Path(__file__).parents[2]


def unseen(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command at the root of the checkout; it ends with `code`, and without a traceback."""
    texts = [*map(str, arguments)]
    # An interpreter reads its own variables when it starts.
    forked = forking.AVAILABLE and _of_python() == _of_python_at_first()
    done = forking.run(texts, ROOT) if forked else _started(texts)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def _started(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "unseen", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, encoding="utf-8")


def _of_python() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}


@functools.cache
def _of_python_at_first() -> dict[str, str]:
    return _of_python()
