"""Writes docs/cli.md from the commands' own --help.

python tools/cli_reference.py            # write it
python tools/cli_reference.py --check    # exit 1 when it is out of date
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from unseen.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
HEAD = "# The command line\n\nMade from `--help` by `tools/cli_reference.py`.\n"


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command, in the order of the help; of a group first what it is."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


def page() -> str:
    parts = [HEAD]
    environment = {"COLUMNS": "88", "TERM": "dumb", "NO_COLOR": "1"}
    for path in commands(typer.main.get_command(app)):
        call = [*path, "--help"]
        done = CliRunner().invoke(
            app, call, prog_name="unseen", env=environment, catch_exceptions=False
        )
        if done.exit_code:
            sys.exit(f"unseen {' '.join(call)} failed:\n{done.output}")
        text = "\n".join(line.rstrip() for line in done.output.strip().splitlines())
        parts.append(f"## {' '.join(('unseen', *path))}\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def main() -> None:
    made = page()
    if "--check" not in sys.argv:
        PAGE.write_text(made, "utf-8")
    elif PAGE.read_text("utf-8") != made:
        sys.exit("docs/cli.md is out of date: python tools/cli_reference.py")


if __name__ == "__main__":
    main()
