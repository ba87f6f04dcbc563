"""Groups of commands: with headings in the help, or with a command that need not be named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typer.core import TyperGroup


def grouped(headings: Mapping[str, Sequence[str]]) -> type[TyperGroup]:
    """The class of a group whose help lists commands under headings: heading → names.

    typer has such headings only together with rich, which takes longer to load than a help may.
    """

    class Grouped(TyperGroup):
        def format_commands(self, ctx: Any, formatter: Any) -> None:
            column = max(map(len, self.commands))
            for heading, names in headings.items():
                with formatter.section(heading):
                    formatter.write_dl(
                        (f"{name:<{column}}", self.commands[name].get_short_help_str())
                        for name in names
                    )

    return Grouped


def defaulting(command: str) -> type[TyperGroup]:
    """The class of a group in which `unseen GROUP photos/` is `unseen GROUP COMMAND photos/`: a
    folder is not a command."""

    class Default(TyperGroup):
        default_command = command

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
                args = [command, *args]
            return super().parse_args(ctx, args)

    return Default
