"""The public docstrings: they name every parameter, and their examples run."""

from __future__ import annotations

import dataclasses
import doctest
import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import unseen

ROOT = Path(__file__).parents[1]
PUBLIC = [name for name in unseen.__all__ if name != "__version__"]
SECTION = re.compile(r"^(\w[\w ]*)\n-+$", re.MULTILINE)


def sections(docstring: str) -> dict[str, str]:
    """The numpydoc sections of a docstring, by title."""
    text = inspect.cleandoc(docstring)
    starts = [(m.group(1), m.start(), m.end()) for m in SECTION.finditer(text)]
    ends = [*(start for _, start, _ in starts[1:]), len(text)][: len(starts)]
    return {title: text[after:end] for (title, _, after), end in zip(starts, ends, strict=True)}


def documented(section: str) -> set[str]:
    """The names that a section describes: `a, b : int` describes two."""
    heads = re.findall(r"^(\*?\w[\w*, ]*)(?: :.*)?$", section, re.MULTILINE)
    return {name.strip(" *") for head in heads for name in head.split(",")}


def callables() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function, and every public method that a public class itself defines."""
    for name in PUBLIC:
        value = getattr(unseen, name)
        if inspect.isclass(value):
            if issubclass(value, Exception):
                continue
            for attribute, member in vars(value).items():
                function = getattr(member, "__func__", member)
                if not attribute.startswith("_") and inspect.isfunction(function):
                    yield f"{name}.{attribute}", function
        elif callable(value):
            yield name, value


CALLABLES = dict(callables())
CLASSES = {name: getattr(unseen, name) for name in PUBLIC if inspect.isclass(getattr(unseen, name))}


@pytest.mark.parametrize("name", CALLABLES)
def test_a_public_function_documents_what_it_takes_and_gives(name: str) -> None:
    function = CALLABLES[name]
    text = inspect.getdoc(function) or ""
    assert text, f"{name} has no docstring"
    assert text.splitlines()[0].rstrip().endswith((".", "?")) or "\n\n" not in text, name
    parts = sections(text)
    signature = inspect.signature(function)
    parameters = {p for p in signature.parameters if p not in ("self", "cls")}
    missing = parameters - documented(parts.get("Parameters", ""))
    assert not missing, f"{name}: Parameters does not describe {sorted(missing)}"
    if signature.return_annotation not in (None, "None", "NoReturn", inspect.Signature.empty):
        assert {"Returns", "Yields"} & parts.keys(), f"{name}: no Returns section"


@pytest.mark.parametrize("name", CLASSES)
def test_a_public_class_documents_its_fields(name: str) -> None:
    cls = CLASSES[name]
    assert cls.__doc__, name
    if dataclasses.is_dataclass(cls):
        parts = sections(cls.__doc__)
        described = documented(parts.get("Parameters", "") + parts.get("Attributes", ""))
        fields = {f.name for f in dataclasses.fields(cls) if not f.name.startswith("_")}
        assert not fields - described, f"{name}: {sorted(fields - described)} are not described"


@pytest.mark.parametrize("module", sorted({getattr(unseen, name).__module__ for name in PUBLIC}))
def test_examples_run(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testmod(import_module(module), optionflags=options, verbose=False)
    assert result.failed == 0
