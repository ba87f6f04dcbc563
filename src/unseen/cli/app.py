"""The `unseen` command: its parts, and how errors become one sentence and an exit status.

0 all fine; 1 some pictures failed (or the doctor found something); 2 the call itself was wrong;
130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated

import typer

from unseen import __version__
from unseen.cli import options, progress
from unseen.cli.command_group import PlainCommand, grouped
from unseen.cli.commands.adapt import adapt
from unseen.cli.commands.cache import cache
from unseen.cli.commands.calibrate import calibrate
from unseen.cli.commands.classify import classify
from unseen.cli.commands.diff import diff
from unseen.cli.commands.distil import distil
from unseen.cli.commands.doctor import doctor
from unseen.cli.commands.embed import embed
from unseen.cli.commands.evaluate import evaluate
from unseen.cli.commands.export import export as export_classifier
from unseen.cli.commands.groups import clusters, duplicates, similar
from unseen.cli.commands.help import help_page
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
from unseen.cli.commands.video import video
from unseen.cli.commands.watch import watch
from unseen.cli.interruption import interruption
from unseen.cli.options import Command
from unseen.cli.output import forget_stdout
from unseen.errors import UnseenError

# What `unseen --help` shows: groups of commands, each with a line that a stranger understands.
COMMANDS: dict[str, dict[str, tuple[Command | typer.Typer, str]]] = {
    "Classify": {
        "classify": (classify, "Say which of your labels fit each picture."),
        "organize": (organize, "Sort pictures into a folder for each label."),
        "embed": (embed, "Write the embedding of each picture to a file."),
        "video": (video, "Say what happens in a video, and when."),
        "watch": (watch, "Follow cameras and streams, and tell somebody."),
    },
    "Collections of pictures": {
        "index": (index, "Encode a folder once, then search it as often as you like."),
        "search": (search, "Find pictures by words or by an example."),
        "similar": (similar, "Find groups of pictures that are alike."),
        "duplicates": (duplicates, "Find copies of the same picture."),
        "clusters": (clusters, "Sort a collection into groups, without labels."),
        "map": (draw_map, "Draw a collection as a map, on a page to look at."),
    },
    "Label sets": {
        "labels": (labels, "Check a label set for mistakes; encode it once for a model."),
    },
    "Data sets and training": {
        "label": (label, "Label a folder: a model proposes, you review and export."),
        "adapt": (adapt, "Improve answers with a few labelled pictures."),
        "distil": (distil, "Train a small, fast classifier from a labelled folder."),
    },
    "Measuring": {
        "eval": (evaluate, "Measure accuracy on labelled pictures."),
        "calibrate": (calibrate, "Make probabilities honest, with a few labelled pictures."),
        "diff": (diff, "Compare two runs of classify: what changed, and why."),
    },
    "Models": {
        "models": (models, "List, download and test models."),
        "cache": (cache, "Show or clear what is kept, so that it need not be computed again."),
        "doctor": (doctor, "Check the installation."),
    },
    "Serving": {
        "export": (export_classifier, "Write a classifier as one file that needs no Python."),
        "serve": (serve, "Answer over HTTP, with a web page to try it."),
        "keys": (keys, "Manage the API keys of the server."),
    },
    "Reading": {
        "help": (help_page, "Print a page of the documentation."),
    },
}

label.command(short_help="Write the labels as a data set: train, valid, test.")(export)
label.command(short_help="Review the proposals on a page in the browser.")(review)
models.command(short_help="Test a model in every runtime and precision.")(verify)

app = typer.Typer(
    cls=grouped({heading: [*commands] for heading, commands in COMMANDS.items()}),
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Which commands have options of `options.PROCESS`: those that look for an index, and those that
# encode pictures.
TABLES = {
    "index_file": (
        "classify", "organize", "search", "similar", "duplicates", "clusters", "map", "adapt",
        "eval", "calibrate", "index update", "index info", "index prune", "index export",
        "label propose", "labels doctor",
    ),
    "no_cache": (
        "classify", "organize", "embed", "adapt", "eval", "calibrate", "index update",
        "label propose", "labels doctor",
    ),
}  # fmt: skip


def _completed(name: str, command: Command) -> Command:
    more = [option for option, names in TABLES.items() if name in names]
    return options.takes_process_options(command, *more)


for commands in COMMANDS.values():
    for name, (command, line) in commands.items():
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, short_help=line)
            for registered in command.registered_commands:
                registered.cls = PlainCommand
                if command is not keys and registered.callback is not None:
                    inner = registered.name or registered.callback.__name__
                    registered.callback = _completed(f"{name} {inner}", registered.callback)
        else:
            app.command(name, cls=PlainCommand, short_help=line)(_completed(name, command))


def _version(value: bool) -> None:
    if value:
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
    if quiet:
        progress.hide_label_warnings()
    else:
        progress.show_slow_steps()
    if not sys.stderr.isatty() or quiet:
        # The hub's own bars, for downloads; it reads this once, when it is imported.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    interruption.watch()
    try:
        app()
    except UnseenError as error:
        if interruption.seen:  # met on the way out
            interruption.leave()
        if "--debug" in sys.argv:
            traceback.print_exc()
        else:
            progress.say(f"error: {error}")
        forget_stdout()
        sys.exit(2)
    except SystemExit:
        if interruption.seen:  # typer has made this of a KeyboardInterrupt
            interruption.leave()
        raise
    except KeyboardInterrupt:  # before a command has begun
        interruption.leave()
    except Exception:
        if not interruption.seen or "--debug" in sys.argv:
            raise  # a bug: its traceback is wanted
        interruption.leave()  # a library that was being loaded made an error of its own of Ctrl-C
