"""How far a job is, as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unseen.pages.html import write_page


def job_page(
    path: Path,
    title: str,
    *,
    note: str,
    share: str,
    fraction: float,
    facts: Sequence[tuple[str, str]],
    errors: Sequence[tuple[str, str]] = (),
    runners: Sequence[tuple[str, ...]] = (),
) -> None:
    """Writes a page to `path`, whole or not at all.

    `share`: what is done, in large letters; `fraction` the same, from 0 to 1. `facts`, `errors`,
    `runners`: rows of tables, each with its name first.
    """
    data = {
        "title": title,
        "note": note,
        "share": share,
        "fraction": fraction,
        "facts": [list(row) for row in facts],
        "errors": [list(row) for row in errors],
        "runners": [list(row) for row in runners],
    }
    write_page(path, "job", title, [("data", data)])
