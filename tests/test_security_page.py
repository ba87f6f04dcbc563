"""docs/security.md says each limit as the code has it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from unseen.images.limits import Limits
from unseen.web.server.core.settings import ServerLimits

PAGE = Path(__file__).parents[1] / "docs" / "security.md"
ROW = re.compile(
    r"^\| `(\w+)` \| ([\d.,]+) ?(MB|kB|s)? \|(?: (?:`(--[\w-]+)`)? ?\|)?", re.MULTILINE
)
UNITS = {"MB": 1 << 20, "kB": 1 << 10, "s": 1, "": 1}


def rows(heading: str) -> dict[str, tuple[float, str]]:
    section = PAGE.read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {
        name: (float(number.replace(",", "")) * UNITS[unit], option)
        for name, number, unit, option in ROW.findall(section)
    }


@pytest.mark.parametrize(
    ("heading", "limits"),
    [("Limits of a picture", Limits()), ("Limits of the server", ServerLimits())],
)
def test_limits(heading: str, limits: Limits | ServerLimits) -> None:
    stated = {name: value for name, (value, _) in rows(heading).items()}
    assert stated == {name: float(value) for name, value in dataclasses.asdict(limits).items()}


def test_options() -> None:
    reference = (PAGE.parent / "cli.md").read_text("utf-8")
    options = {option for _, option in rows("Limits of the server").values() if option}
    assert len(options) >= 6
    assert not {option for option in options if option not in reference}


def test_every_reader_of_the_fuzzer_has_its_figures() -> None:
    tool = (PAGE.parents[1] / "tools" / "fuzz.py").read_text("utf-8")
    readers = re.findall(r'^    "(\w+)": Reader\(', tool, re.MULTILINE)
    stated = re.findall(r"^\| (\w+) \| [\d,]+ \| [\d,]+ \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert readers == stated
