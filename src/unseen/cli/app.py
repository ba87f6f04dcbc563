"""The `unseen` command: its parts, and how errors become one sentence and an exit status.

0 all fine; 1 some pictures failed (or the doctor found something); 2 the call itself was wrong;
130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Annotated, Any, NoReturn

import typer

from unseen import __version__
from unseen.cli import options, progress
from unseen.cli.commands.adapt import adapt
from unseen.cli.commands.calibrate import calibrate
from unseen.cli.commands.classify import classify
from unseen.cli.commands.diff import diff
from unseen.cli.commands.distil import distil
from unseen.cli.commands.doctor import doctor
from unseen.cli.commands.embed import embed
from unseen.cli.commands.evaluate import evaluate
from unseen.cli.commands.groups import clusters, duplicates, similar
from unseen.cli.commands.index import index
from unseen.cli.commands.label import label
from unseen.cli.commands.label_export import export
from unseen.cli.commands.label_review import review
from unseen.cli.commands.labels import labels
from unseen.cli.commands.map import draw_map
from unseen.cli.commands.models import models
from unseen.cli.commands.organize import organize
from unseen.cli.commands.search import search
from unseen.cli.commands.serve import keys, serve
from unseen.cli.commands.verify import verify
from unseen.cli.output import forget_stdout
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
app.add_typer(index, name="index", short_help="Look at a folder once; ask it for ever.")
app.command(short_help="Find pictures of an index by words or by example.")(search)
app.command(short_help="Find pictures of an index that are the same.")(duplicates)
app.command(short_help="Group pictures of an index that are alike.")(similar)
app.command(short_help="Group the pictures of an index.")(clusters)
app.command("map", short_help="Draw an index as a map, a page to look at.")(draw_map)
app.command(short_help="Put pictures into a folder for each label.")(organize)
app.command(short_help="Compare two runs of classify.")(diff)
label.command(short_help="Write a data set, with train, valid and test.")(export)
label.command(short_help="Look the proposals over, on a page in the browser.")(review)
app.add_typer(label, name="label", short_help="Label a folder, and make a data set of it.")
app.command(short_help="Make a small classifier of a labelled folder.")(distil)
app.command(short_help="Learn from a few labelled pictures.")(adapt)
app.command("eval", short_help="Say how often it is right, on labelled pictures.")(evaluate)
app.command(short_help="Learn from a few labelled pictures how far to trust scores.")(calibrate)
app.add_typer(labels, name="labels", short_help="Look label sets over, and compile them.")
app.command(short_help="Serve it over HTTP, with a page.")(serve)
app.add_typer(keys, name="keys", short_help="Keys for the server.")
models.command(short_help="Test a checkpoint in every runtime and precision.")(verify)
app.add_typer(models, name="models", short_help="List, describe and fetch the known checkpoints.")
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
    debug: options.Debug = False,
    quiet: options.Quiet = False,
) -> None:
    """Name what no model was trained to name: zero-shot image classification."""


def main() -> None:
    """The console script."""
    progress.show_warnings_plainly()
    if hasattr(sys.stdout, "reconfigure"):  # a narrow terminal shows \\u732b, and does not fail
        sys.stdout.reconfigure(errors="backslashreplace")
    quiet = {"--quiet", "-q"} & {*sys.argv}
    if not quiet:
        progress.show_slow_steps()
    if not sys.stderr.isatty() or quiet:
        # The hub's own bars, for downloads; it reads this once, when it is imported.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    interrupts: list[int] = []

    def interrupt(number: int, frame: Any) -> NoReturn:
        interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        app()
    except UnseenError as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        else:
            progress.say(f"error: {error}")
        forget_stdout()
        sys.exit(2)
    except KeyboardInterrupt:  # before a command has begun; later typer sees to it
        sys.exit(130)
    except Exception:
        if not interrupts or "--debug" in sys.argv:
            raise  # a bug: its traceback is wanted
        sys.exit(130)  # a library that was being loaded turned Ctrl-C into an error of its own
