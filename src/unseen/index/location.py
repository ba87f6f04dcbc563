"""Where an index lies: in a hidden folder beside the pictures."""

from __future__ import annotations

from pathlib import Path

FOLDER = ".unseen"  # hidden, so that it is never looked into for pictures
FILE = "index.sqlite"


def find(start: str | Path) -> Path | None:
    """The folder whose index is that of `start`: itself or the nearest above it; None: no such."""
    folder = Path(start).absolute()
    for parent in (folder, *folder.parents):
        if (parent / FOLDER / FILE).is_file():
            return parent
    return None
