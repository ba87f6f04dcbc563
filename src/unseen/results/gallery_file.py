"""A page with thumbnails, and the manifest beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unseen.pages import Section, gallery
from unseen.results.manifest import write_ended
from unseen.results.result_file import check_output

SHOWN = 60  # pictures of a section, the most typical


def write_gallery(
    page: Path, title: str, sections: Sequence[Section], note: str, manifest: dict[str, Any]
) -> None:
    """Write the gallery over what is there, and beside it what made it. SourceError."""
    check_output(page, overwrite=True)
    gallery(page, title, sections, note=note)
    write_ended(page, manifest, sum(len(section.items) for section in sections), 0)
