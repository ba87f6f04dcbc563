"""How the help of a command is written, and groups with a command that need not be named."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

# What typer shows of a value, which are types of Python, and the words that users know.
TYPE = re.compile(r"<(?:list\[)?(str|int|float|path|Path)(?: range)?\]?>")
WORDS = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER", "path": "PATH", "Path": "PATH"}


def in_words(name: str) -> str:
    """The first column of a help: "--top <int range>" → "--top NUMBER"; of an argument, no type."""
    if not name.startswith("-"):
        return re.sub(" " + TYPE.pattern, "", name)
    return TYPE.sub(lambda kind: WORDS[kind[1]], name)


class PlainHelp:
    """Help that says TEXT, NUMBER and PATH where typer shows types of Python."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        write = formatter.write_dl

        def write_plainly(rows: Iterable[tuple[str, str]]) -> None:
            write([(in_words(name), text) for name, text in rows])

        formatter.write_dl = write_plainly
        super().format_options(ctx, formatter)  # type: ignore[misc]


class PlainCommand(PlainHelp, TyperCommand):
    """A command with such a help."""


class PlainGroup(PlainHelp, TyperGroup):
    """A group of commands with such a help."""


def defaulting(command: str) -> type[TyperGroup]:
    """The class of a group in which `unseen GROUP photos/` is `unseen GROUP COMMAND photos/`: a
    folder is not a command."""

    class Default(PlainGroup):
        default_command = command

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
                args = [command, *args]
            return super().parse_args(ctx, args)

    return Default
