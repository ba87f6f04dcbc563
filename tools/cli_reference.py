"""Writes docs/cli.md from the commands' own --help.

python tools/cli_reference.py            # write it
python tools/cli_reference.py --check    # exit 1 when it is out of date
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "cli.md"
COMMANDS = (
    "",
    "help",
    "classify",
    "embed",
    "video",
    "watch",
    "index",
    "index update",
    "index info",
    "index prune",
    "index export",
    "search",
    "duplicates",
    "similar",
    "clusters",
    "map",
    "organize",
    "diff",
    "label",
    "label propose",
    "label info",
    "label export",
    "label review",
    "distil",
    "adapt",
    "labels compile",
    "eval",
    "calibrate",
    "labels doctor",
    "models",
    "models info",
    "models pull",
    "models verify",
    "export",
    "serve",
    "keys",
    "keys add",
    "cache",
    "cache info",
    "cache clear",
    "doctor",
)
HEAD = "# The command line\n\nMade from `--help` by `tools/cli_reference.py`.\n"


def page() -> str:
    parts = [HEAD]
    for command in COMMANDS:
        run = [sys.executable, "-m", "unseen", *command.split(), "--help"]
        environment = {**os.environ, "COLUMNS": "88", "TERM": "dumb", "NO_COLOR": "1"}
        done = subprocess.run(run, capture_output=True, text=True, check=True, env=environment)
        text = "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())
        text = text.replace("python -m unseen", "unseen").replace("__main__.py", "unseen")
        parts.append(f"## unseen {command}".rstrip() + f"\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def main() -> None:
    made = page()
    if "--check" not in sys.argv:
        PAGE.write_text(made, "utf-8")
    elif PAGE.read_text("utf-8") != made:
        sys.exit("docs/cli.md is out of date: python tools/cli_reference.py")


if __name__ == "__main__":
    main()
