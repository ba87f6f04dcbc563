"""The help: a map of the commands, and of each command what it does, an example first."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from unseen.cli.app import COMMANDS, app

WIDTH = 80
LINES_FROM = 14  # the column of the lines


def tree(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of commands below `group`, with its name."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if hasattr(command, "commands"):
            yield from tree(command, (*path, name))


ROOT = typer.main.get_command(app)
ALL = dict(tree(ROOT))


def help_of(*command: str) -> str:
    done = CliRunner().invoke(
        app, [*command, "--help"], env={"COLUMNS": str(WIDTH), "TERM": "dumb"}
    )
    assert done.exit_code == 0
    return done.output


def test_every_command_has_a_heading() -> None:
    names = [name for commands in COMMANDS.values() for name in commands]
    assert sorted(names) == sorted(ROOT.commands)  # type: ignore[attr-defined]
    assert len(names) == len({*names})


def test_the_help_lists_the_commands_under_their_headings() -> None:
    lines = help_of().splitlines()
    for heading, commands in COMMANDS.items():
        start = lines.index(f"{heading}:") + 1
        section = lines[start : start + len(commands)]
        assert [line.split()[0] for line in section] == [*commands]
        for row, (_, line) in zip(section, commands.values(), strict=True):
            assert row[LINES_FROM:] == line  # in one piece, and below the others
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize("name", ALL, ids=" ".join)
def test_a_command_has_a_line_and_begins_with_an_example(name: tuple[str, ...]) -> None:
    command = ALL[name]
    assert command.short_help and command.short_help.endswith(".")
    lines = help_of(*name).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert not re.search(
        r"<[a-wyz]|\b(str|int|float)\b|list\[", "\n".join(lines)
    )  # types of Python
    usage, example, *_ = "\n".join(lines).split("\n\n")
    assert usage.startswith("Usage: ")
    group = ALL.get(name[:-1], ROOT)
    if getattr(group, "default_command", None) == name[-1]:
        name = name[:-1]  # it need not be named
    assert example.strip().startswith(f"unseen {' '.join(name)} ".rstrip())
