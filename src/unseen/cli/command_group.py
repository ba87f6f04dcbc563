"""A group of commands with one that need not be named."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


def defaulting(command: str) -> type[TyperGroup]:
    """The class of a group in which `unseen GROUP photos/` is `unseen GROUP COMMAND photos/`: a
    folder is no command."""

    class Default(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
                args = [command, *args]
            return super().parse_args(ctx, args)

    return Default
