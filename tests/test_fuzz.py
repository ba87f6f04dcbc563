"""Every reader of strangers' bytes, for a second: `tools/fuzz.py` is for longer."""

from __future__ import annotations

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from unseen.errors import ModelError

TOOL = Path(__file__).parents[1] / "tools" / "fuzz.py"


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("unseen_fuzz", TOOL)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


pytest.importorskip("resource")  # its limit of memory is of Linux and macOS
fuzz = _tool()


@pytest.mark.parametrize("reader", fuzz.READERS)
def test_only_our_errors_leave_a_reader(reader: str) -> None:
    outcome = fuzz.fuzz(reader, seconds=1.0, trials=400)
    assert outcome.failures == {}
    assert outcome.trials > 0
    assert outcome.slowest < 30


def test_a_reader_that_fails_is_found(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        content = path.read_bytes()
        if b"good" not in content:
            raise ModelError("refused")
        if content != b"good" * 20:
            raise ZeroDivisionError("a defect")

    def seeds(folder: Path) -> list[Path]:
        (folder / "file").write_bytes(b"good" * 20)
        return [folder / "file"]

    fuzz.READERS["broken"] = fuzz.Reader(seeds, read)
    try:
        outcome = fuzz.fuzz("broken", seconds=60, trials=200)
    finally:
        del fuzz.READERS["broken"]
    assert outcome.trials == 200
    assert outcome.refused > 0
    (failure,) = outcome.failures
    assert failure.startswith("ZeroDivisionError")
    assert failure.endswith("a defect")


@pytest.mark.parametrize("content", [b"", b"x", b"[]", b"{}", b'{"a": [1, {"b": null}]}', b"[[["])
def test_any_content_can_be_changed(content: bytes) -> None:
    rng = random.Random(1)
    changes: set[Any] = {fuzz.changed(content, rng) for _ in range(300)}
    assert len(changes) > 20
