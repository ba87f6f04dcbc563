"""`unseen label review`: a page on this machine on which a person looks proposals over."""

from __future__ import annotations

import os
import sys
import threading
import webbrowser
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from unseen.cli import options, progress
from unseen.errors import MissingExtraError

if TYPE_CHECKING:
    from unseen.web.review.session import ReviewSession

NEEDED = ("starlette", "uvicorn", "httptools")


def review(
    folder: options.LabelledFolder,
    name: options.Labelling = "labels",
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="0 is any.", show_default="8010, or any")
    ] = None,
    browser: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-browser", help="Open a browser.", show_default="where there is a screen"
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """unseen label review photos/

    A page, on this machine only, on which to accept, change or skip what was proposed: one key a
    picture, the most useful ones first. May be stopped at any time and goes on where it was.
    """
    for library in NEEDED:
        if find_spec(library) is None:
            raise MissingExtraError("unseen label review", library=library, extra="serve")
    from unseen.web.review.process import ReviewServer  # noqa: PLC0415
    from unseen.web.review.session import ReviewSession  # noqa: PLC0415 - an extra

    session = ReviewSession(folder, name)
    try:
        before = session.status()["reviewed"]
        server = ReviewServer(session, port)
        progress.say(f"review {folder} at {server.address}  (Ctrl-C ends it)")
        if _has_screen() if browser is None else browser:
            threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
        server.serve()
        if not quiet:
            _show(session, before)
    finally:
        session.close()


def _show(session: ReviewSession, before: int) -> None:
    status = session.status()
    now = status["reviewed"]
    left = f", {status['left']} are left" if status["left"] else ""
    progress.say(f"{now} of {status['total']} pictures are reviewed, {now - before} now{left}.")
    progress.say(f"next: {status['commands'][0]}")


def _has_screen() -> bool:
    """Whether a browser would have a window: not over ssh, where it would take the terminal."""
    if sys.platform in ("win32", "darwin"):
        return "SSH_CONNECTION" not in os.environ
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
