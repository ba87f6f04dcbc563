"""A value is called what it is, never by what happened to it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "unseen"

# Participles, and nouns that no reader of this field would understand.
REFUSED = frozenset({"found", "asked", "told", "said", "wanted", "kept", "owners", "chances"})


def names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every name that a file gives to a value, a parameter, a field, a function or a class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name, node.lineno
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname, node.lineno


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda f: f.stem)
def test_no_value_is_named_by_what_happened_to_it(file: Path) -> None:
    wrong = [
        f"{name} (line {line})"
        for name, line in names(ast.parse(file.read_text("utf-8")))
        if name.strip("_").lower() in REFUSED
    ]
    assert not wrong, f"{file.relative_to(SOURCE)}: {', '.join(wrong)}"
