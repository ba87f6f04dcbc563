"""The map of the rooms in CONTRIBUTING.md is complete, and names nothing that is gone."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "unseen"


def rooms() -> dict[str, str]:
    """Package (or `unseen` for the files at the top) → what the table says of it."""
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    section = text.split("## The rooms", 1)[1].split("\n## ", 1)[0]
    return {
        name.strip("`/ "): rest
        for name, rest in re.findall(r"^\| (`[^|]+`) \| (.*) \|$", section, re.MULTILINE)
    }


def packages() -> dict[str, set[str]]:
    """Package → the names of its modules, as they are on disk."""
    result: dict[str, set[str]] = {}
    for file in SOURCE.rglob("*.py"):
        if file.name not in ("__init__.py", "__main__.py"):
            package = file.parent.relative_to(SOURCE).as_posix()
            result.setdefault("unseen" if package == "." else package, set()).add(file.stem)
    return result


def test_every_file_has_its_place_in_the_map() -> None:
    table = rooms()
    for package, modules in packages().items():
        assert package in table, f"CONTRIBUTING.md, The rooms, has no row of {package}/"
        missing = modules - set(re.findall(r"`(\w+)`", table[package]))
        row = f"the row of {package}/ in CONTRIBUTING.md, The rooms"
        assert not missing, f"{row}, does not name {sorted(missing)}; say there what is in each."


def test_the_map_names_nothing_that_is_gone() -> None:
    disk = packages()
    for package, text in rooms().items():
        assert package in disk, f"CONTRIBUTING.md speaks of {package}/, which has no files"
        named = set(re.findall(r"`(\w+)`", text))
        children = {p.split("/")[-1] for p in disk if p.startswith(f"{package}/")}
        gone = named - disk[package] - children
        assert not gone, f"{package}: {sorted(gone)} are not there"


def test_no_package_is_flat_above_a_dozen_files() -> None:
    for package, modules in packages().items():
        allowed = 32 if package == "cli/commands" else 14
        assert len(modules) <= allowed, f"{package} has {len(modules)} files"
