"""Figures of the README and the docs are what their commands print, where they are deterministic.

Pillow 12 and 13 resize tall pictures differently, and processors round differently: a figure may
differ by what one picture is worth.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PICTURES = 117
ONE_PICTURE = 100 / PICTURES + 0.06  # in percent; the figures are rounded to a tenth
# A row of docs/builtin.md, what the benchmark calls it, and how many pictures it counts.
ROWS = {
    "69 labels": ("top-1", PICTURES),
    "69 labels, right one in the first five": ("top-5", PICTURES),
    "20 labels, drawn at random": ("20 labels", PICTURES),
    "10 labels": ("10 labels", PICTURES),
    "5 labels": ("5 labels", PICTURES),
    "2 labels": ("2 labels", PICTURES),
    "the ten CIFAR words, 11 pictures that show one of them": ("the CIFAR-10 words", 11),
    "mammal, bird, reptile, fish, insect (28 pictures)": ("kinds of animal", 28),
    "dogs, cats, horses, cows, birds, sheep, fishes, pigs (18)": ("plurals", 18),
    "animal, vehicle, food, plant, building, furniture (47)": ("coarse words", 47),
}
README_COLUMNS = ["2 labels", "5 labels", "10 labels", "20 labels", "top-1", "top-5"]


@pytest.fixture(scope="module")
def printed() -> dict[str, float]:
    """Row of benchmarks/builtin_accuracy.py → percent, counted by picture."""
    script = ROOT / "benchmarks" / "builtin_accuracy.py"
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    lines = re.findall(r"^(.+?) +([\d.]+) % +[\d.]+ %", run.stdout, re.MULTILINE)
    return {name.strip(): float(percent) for name, percent in lines}


def table(page: str, first_cell: str) -> list[list[str]]:
    """The rows of the table whose head begins with `first_cell`."""
    text = (ROOT / page).read_text("utf-8")
    body = text[text.index(f"| {first_cell} |") :].split("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in body.splitlines()]


def percents(cells: list[str]) -> list[float]:
    return [float(cell.removesuffix(" %")) for cell in cells]


def test_builtin_page(printed: dict[str, float]) -> None:
    rows = {
        name: percents(cells)[0] for name, *cells in table("docs/builtin.md", "choosing among")[2:]
    }
    assert rows.keys() == ROWS.keys()
    for name, (printed_name, pictures) in ROWS.items():
        assert rows[name] == pytest.approx(printed[printed_name], abs=100 / pictures + 0.06), name


def test_readme(printed: dict[str, float]) -> None:
    *_, (_, *cells) = table("README.md", "among")
    assert percents(cells) == pytest.approx(
        [printed[name] for name in README_COLUMNS], abs=ONE_PICTURE
    )


def test_eval_prints_what_readme_and_its_page_say() -> None:
    """`unseen eval tests/photographs`, the first command of docs/eval.md."""
    command = [sys.executable, "-m", "unseen", "eval", "tests/photographs"]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    page = (ROOT / "docs" / "eval.md").read_text("utf-8")
    *_, (_, *cells) = table("README.md", "among")
    for name, cell in zip(("top-1", "top-5"), cells[-2:], strict=True):
        (figure,) = re.findall(rf"^ +{name} +([\d.]+) %", run.stdout, re.MULTILINE)
        (on_page,) = re.findall(rf"^ +{name} +([\d.]+) %", page, re.MULTILINE)
        assert float(figure) == pytest.approx(percents([cell])[0], abs=ONE_PICTURE)
        assert float(figure) == pytest.approx(float(on_page), abs=ONE_PICTURE)
