"""Environments of their own for packages that need other versions than we do; made once a run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock


def python_with(name: str, *packages: str) -> Path:
    """Python of an environment that has these; skips where they cannot be installed."""
    folder = _folder(name)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    _install(
        folder,
        [sys.executable, "-m", "venv", folder],
        [python, "-m", "pip", "install", "--quiet", "--retries", "1", *packages],
    )
    return python


def node_with(name: str, *packages: str) -> Path:
    """A folder whose scripts import these; skips where there is no node, or no registry."""
    folder = _folder(name)
    folder.mkdir(exist_ok=True)
    npm = ["npm", "--prefix", folder, "install", "--silent", "--no-audit", "--no-fund", *packages]
    _install(folder, npm)
    return folder


def _folder(name: str) -> Path:
    return Path(os.environ["UNSEEN_TESTS_RUN"]) / name


def _install(folder: Path, *commands: list[str | Path]) -> None:
    outcome = folder.with_suffix(".outcome")
    with FileLock(folder.with_suffix(".lock")):
        if not outcome.exists():
            outcome.write_text(_failure(commands), "utf-8")
    if reason := outcome.read_text("utf-8"):
        pytest.skip(f"{folder.name} cannot be installed: {reason.splitlines()[-1]}")


def _failure(commands: tuple[list[str | Path], ...]) -> str:
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            return f"{command[0]}: {error.strerror}"
        if done.returncode:
            return done.stderr.strip() or f"{command[0]} ends with {done.returncode}"
    return ""
