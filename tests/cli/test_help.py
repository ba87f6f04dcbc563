"""The help: a map of the commands, and of each command what it does, an example first."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import unseen
from running import unseen as run
from unseen.cli.app import app
from unseen.cli.commands import help as help_page
from unseen.cli.overview import COMMANDS, OPTIONS

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


def test_the_first_help_says_what_the_command_line_takes() -> None:
    """`unseen --help` is printed from a table, before anything is imported."""
    parameters = {", ".join(sorted(one.opts, key=len)): one.help for one in ROOT.params}
    assert parameters | {"-h, --help": OPTIONS["-h, --help"]} == OPTIONS
    printed = run("--help").stdout
    assert printed == help_of()
    assert printed == run("-h").stdout


def test_a_command_imports_only_its_own_file() -> None:
    code = """
import sys
from unseen.cli.app import app
from typer.testing import CliRunner
assert CliRunner().invoke(app, ["doctor", "--help"]).exit_code == 0
print(*sorted(name for name in sys.modules if name.startswith("unseen.cli.commands.")))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["unseen.cli.commands.doctor"]


def test_help_and_wrong_options_are_answered_without_numpy() -> None:
    code = """
import sys
sys.modules["numpy"] = None  # to import it is an error
from unseen.cli.app import _built
from unseen.cli.overview import COMMANDS
for name in (name for commands in COMMANDS.values() for name in commands):
    try:
        _built(name)
    except ImportError:
        print(name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    need_it = "adapt clusters distil duplicates embed models organize similar"
    assert sorted(done.stdout.split()) == need_it.split()


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
        for row, (_, _, line) in zip(section, commands.values(), strict=True):
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


def test_help_points_to_pages_that_are_shipped() -> None:
    """No help names a file of the repository; `unseen help TOPIC` prints the page."""
    package = Path(inspect.getfile(unseen)).parent
    texts = [help_of(*name) for name in ALL]
    assert not any("docs/" in text for text in texts)
    sources = "\n".join(path.read_text("utf-8") for path in package.rglob("*.py"))
    topics = {*re.findall(r"unseen help ([a-z-]+)", sources)}
    assert {"label", "serve", "clients", "speed"} <= topics
    for topic in topics:
        page = (help_page.FOLDERS[1] / f"{topic}.md").read_text("utf-8")
        done = CliRunner().invoke(app, ["help", topic])
        assert done.exit_code == 0 and done.output == page


def test_pages_are_listed_and_a_slip_is_answered() -> None:
    listed = run("help").stdout.splitlines()
    assert "doctor              Looking a label set over" in listed
    assert len(listed) == len([*help_page.FOLDERS[1].glob("*.md")])
    assert "did you mean label?" in run("help", "lable", code=2).stderr
    assert run("help", "docs/doctor.md").stdout.startswith("# Looking a label set over")


def test_the_wheel_has_the_pages() -> None:
    settings = Path("pyproject.toml").read_text("utf-8")
    assert 'docs = "unseen/docs"' in settings
    assert help_page.FOLDERS[0].name == "docs" and help_page.FOLDERS[0].parent.name == "unseen"
