"""Where an index is kept: in a hidden folder beside the pictures."""

from __future__ import annotations

from pathlib import Path

FOLDER = ".unseen"  # hidden, so that it is never searched for pictures
FILE = "index.sqlite"


def find(start: str | Path) -> Path | None:
    """The folder whose index covers `start`: itself or the nearest parent; None without one."""
    folder = Path(start).absolute()
    for parent in (folder, *folder.parents):
        if (parent / FOLDER / FILE).is_file():
            return parent
    return None
