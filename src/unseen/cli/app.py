"""The `unseen` command: its parts, and how errors become one sentence and an exit status.

0 all fine; 1 some pictures failed (or the doctor found something); 2 the call itself was wrong;
130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from unseen import __version__
from unseen.cli import progress
from unseen.cli.classify import classify
from unseen.cli.doctor import doctor
from unseen.cli.embed import embed
from unseen.cli.labels import labels
from unseen.cli.models import models
from unseen.errors import UnseenError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(short_help="Say which labels fit each picture.")(classify)
app.command(short_help="Write the embedding of each picture to a file.")(embed)
app.add_typer(labels, name="labels", short_help="Compile label sets.")
app.command(short_help="List the known checkpoints.")(models)
app.command(short_help="Look at the installation, and test it.")(doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unseen {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Name what no model was trained to name: zero-shot image classification."""


def main() -> None:
    """The console script."""
    progress.show_warnings_plainly()
    if not sys.stderr.isatty() or {"--quiet", "-q"} & {*sys.argv}:
        # The hub's own bars, for downloads; it reads this once, when it is imported.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        app()
    except BrokenPipeError:  # `| head` has seen enough; nothing more can be flushed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        progress.say("stopped.")
        sys.exit(130)
    except UnseenError as error:
        if "--debug" in sys.argv:
            raise
        progress.say(f"error: {error}")
        sys.exit(2)
