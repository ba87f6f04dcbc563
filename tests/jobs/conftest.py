"""A small model, and a folder of small pictures with some that are broken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import shapes
import unseen
from planning import BROKEN


@pytest.fixture(autouse=True)
def _no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEEN_CACHE_BYTES", "0")


@pytest.fixture(scope="session")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip, device="cpu", threads=1)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Fourteen files, two of them broken."""
    folder = tmp_path_factory.mktemp("pictures")
    scenes = shapes.held_out_scenes()
    for i in range(14):
        path = folder / f"{i:02}.png"
        shapes.draw(scenes[i % len(scenes)], seed=i, side=64).save(path)
        if path.name in BROKEN:
            path.write_bytes(path.read_bytes()[:200])
    return folder
