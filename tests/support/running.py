"""The command line as a user meets it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def unseen(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command at the root of the checkout; it ends with `code`, and without a traceback."""
    command = [sys.executable, "-m", "unseen", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, encoding="utf-8")
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done
