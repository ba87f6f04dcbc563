"""The page of `unseen eval`: its document, and thumbnails of what went wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unseen.cli.page import thumbnails
from unseen.pages import link, report


def write(page: Path, found: dict[str, Any]) -> None:
    """The report, written over what is there."""
    names = dict.fromkeys(m["path"] for one in found["candidates"] for m in one["mistakes"])
    files = [Path(name) for name in names]
    small = thumbnails(files)
    pictures = {
        name: (link(file, page), content)
        for name, file, content in zip(names, files, small, strict=True)
    }
    source = Path(found["source"])
    counts = {one["label_count"] for one in found["candidates"] if "label_count" in one}
    note = f"{counts.pop()} labels" if len(counts) == 1 else ""
    report(page, source.name or str(source), found, pictures, note=note)
