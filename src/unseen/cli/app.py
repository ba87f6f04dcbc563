"""The `unseen` command: its parts, and how errors become one sentence and an exit status.

0 all fine; 1 some pictures failed (or the doctor found something); 2 the call itself was wrong;
130 stopped by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from unseen import __version__
from unseen.cli import options, progress
from unseen.cli.command_group import PlainCommand, PlainGroup
from unseen.cli.interruption import interruption
from unseen.cli.options import Command
from unseen.cli.output import forget_stdout
from unseen.cli.overview import COMMANDS, LINE, SUBCOMMANDS, overview
from unseen.errors import UnseenError

SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}
# Which commands have options of `options.PROCESS`: those that look for an index, those that encode
# pictures, and those that fetch them from lists.
TABLES = {
    "index_file": (
        "classify", "explain", "organize", "search", "similar", "duplicates", "clusters", "map",
        "adapt", "eval", "calibrate", "index update", "index info", "index prune", "index export",
        "label propose", "labels doctor",
    ),
    "no_cache": (
        "classify", "explain", "organize", "embed", "adapt", "eval", "calibrate", "index update",
        "label propose", "labels doctor",
    ),
    "ignore_robots": (
        "classify", "embed", "eval", "index update", "job run", "organize",
    ),
}  # fmt: skip


def _completed(name: str, command: Command) -> Command:
    more = [option for option, names in TABLES.items() if name in names]
    return options.takes_process_options(command, *more)


def _attribute(module: str, name: str) -> Any:
    return getattr(import_module(f"unseen.cli.commands.{module}"), name)


@cache
def _built(name: str) -> TyperCommand | TyperGroup:
    """A command, from the one file that has it: the others are not imported."""
    rows = {name: row for commands in COMMANDS.values() for name, row in commands.items()}
    module, attribute, line = rows[name]
    command = _attribute(module, attribute)
    parent = typer.Typer(**SETTINGS)
    if isinstance(command, typer.Typer):
        for inner, (file, function, inner_line) in SUBCOMMANDS.get(name, {}).items():
            command.command(inner, short_help=inner_line)(_attribute(file, function))
        for registered in command.registered_commands:
            registered.cls = PlainCommand
            if attribute != "keys" and registered.callback is not None:
                inner = registered.name or registered.callback.__name__
                registered.callback = _completed(f"{name} {inner}", registered.callback)
        parent.add_typer(command, name=name, short_help=line)
    else:
        parent.command(name, cls=PlainCommand, short_help=line)(_completed(name, command))
    parent.callback()(lambda: None)  # so that it stays a group
    built: TyperCommand | TyperGroup = typer.main.get_group(parent).commands[name]  # type: ignore[assignment]
    return built


class _Commands(Mapping[str, Any]):
    """Every command by name, each imported when it is looked at."""

    def __iter__(self) -> Iterator[str]:
        return (name for commands in COMMANDS.values() for name in commands)

    def __len__(self) -> int:
        return sum(map(len, COMMANDS.values()))

    def __contains__(self, name: object) -> bool:
        return any(name in commands for commands in COMMANDS.values())

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            raise KeyError(name)
        return _built(name)


class _Root(PlainGroup):
    """`unseen`: what it lists comes from a table, so that a command loads itself alone."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _Commands()  # type: ignore[assignment]

    def get_help(self, ctx: Any) -> str:
        return overview()


app = typer.Typer(cls=_Root, no_args_is_help=True, **SETTINGS)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"unseen {__version__}")
        raise typer.Exit


@app.callback(help=LINE)
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: options.Debug = False,
    quiet: options.Quiet = False,
) -> None:
    """The options of `unseen` itself."""


def _prepare_streams() -> None:
    """What is written, and how much of it."""
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


def main() -> None:
    """The console script."""
    try:
        _prepare_streams()
        interruption.watch()
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
