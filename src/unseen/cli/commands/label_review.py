"""`unseen label review`: a page on this machine on which a person looks proposals over."""

from __future__ import annotations

from typing import Annotated

import typer

from unseen import web
from unseen.cli import options, progress


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
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain/--no-retrain", help="Make the proposals anew with what was decided."
        ),
    ] = True,
    quiet: options.Quiet = False,
) -> None:
    """unseen label review photos/

    A page, on this machine only, on which to accept, change or skip what was proposed: one key a
    picture, the most useful ones first. May be stopped at any time and goes on where it was.
    """
    web.check_libraries("unseen label review", web.REVIEW_LIBRARIES)
    from unseen.web.review.process import ReviewServer, has_screen  # noqa: PLC0415
    from unseen.web.review.session import ReviewSession  # noqa: PLC0415 - an extra

    session = ReviewSession(folder, name, retrain=retrain)
    try:
        before = session.status()["reviewed"]
        server = ReviewServer(session, port)
        progress.say(f"review {folder} at {server.address}  (Ctrl-C ends it)")
        if has_screen() if browser is None else browser:
            server.open_page()
        server.serve()
        if not quiet:
            for line in session.summary(before):
                progress.say(line)
    finally:
        session.close()
