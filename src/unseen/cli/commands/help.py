"""`unseen help`."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.errors import UnseenError

PACKAGE = Path(unseen.__file__).parent
# The wheel has the pages; a checkout has them beside src.
FOLDERS = (PACKAGE / "docs", PACKAGE.parent.parent / "docs")
COLUMN = 20


def help_page(
    topic: Annotated[
        str | None, typer.Argument(help="A page, such as label or doctor.", show_default="all")
    ] = None,
) -> None:
    """unseen help label

    Print a page of the documentation; without a topic, the list of them. The options of a command
    are shown by --help after its name.
    """
    pages = {path.stem: path for folder in FOLDERS for path in sorted(folder.glob("*.md"))}
    if topic is None:
        for name, path in pages.items():
            typer.echo(f"{name:<{COLUMN}}{_title(path)}")
        return
    name = topic.removeprefix("docs/").removesuffix(".md").casefold()
    if name not in pages:
        similar = difflib.get_close_matches(name, pages, 1)
        hint = f"did you mean {similar[0]}?" if similar else f"the pages are {', '.join(pages)}."
        raise UnseenError(f"there is no page {topic!r}; {hint} Options: unseen COMMAND --help.")
    typer.echo(pages[name].read_text("utf-8"), nl=False)


def _title(path: Path) -> str:
    """The first heading of a page."""
    with path.open(encoding="utf-8") as lines:
        return next(lines).lstrip("#").strip()
