"""The scripts for CVAT and FiftyOne: what they ask of a server, and what they make of the answer.

Neither package is installed: small stand-ins hold what the scripts hand to them.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import shapes
from asking import png

EXAMPLES = Path(__file__).parents[3] / "examples"


def module(name: str, **content: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(content)
    return made


def test_cvat(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = module(
        "cvat_sdk.auto_annotation",
        DetectionFunctionSpec=SimpleNamespace,
        DetectionFunctionContext=SimpleNamespace,
        label_spec=lambda name, number, type: (name, number, type),
        tag=lambda number: f"tag {number}",
    )
    monkeypatch.setitem(sys.modules, "cvat_sdk", module("cvat_sdk", auto_annotation=stand_in))
    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", stand_in)
    create = runpy.run_path(str(EXAMPLES / "cvat_function.py"))["create"]
    tags = create("blue square, red circle", url=url)
    assert tags.spec.labels == [("blue square", 0, "tag"), ("red circle", 1, "tag")]
    picture = shapes.draw(shapes.scene("a red circle"), 0)
    assert tags.detect(SimpleNamespace(conf_threshold=None), picture) == ["tag 1"]
    assert tags.detect(SimpleNamespace(conf_threshold=1.1), picture) == []


class Sample(dict[str, Any]):
    filepath: str


def test_fiftyone(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = []
    for label in ("a red circle", "a blue square"):
        samples.append(Sample())
        samples[-1].filepath = str(tmp_path / f"{label}.png")
        Path(samples[-1].filepath).write_bytes(png(label))
    dataset = SimpleNamespace(iter_samples=lambda autosave, progress: samples)
    stand_in = module(
        "fiftyone",
        load_dataset=lambda name: {"mine": dataset}[name],
        Classification=lambda label, confidence: (label, confidence),
    )
    monkeypatch.setitem(sys.modules, "fiftyone", stand_in)
    monkeypatch.setattr(sys, "argv", ["fiftyone_labels.py", "mine", "blue square,red circle", url])
    runpy.run_path(str(EXAMPLES / "fiftyone_labels.py"))
    assert [sample["unseen"][0] for sample in samples] == ["red circle", "blue square"]
    assert all(0.5 < sample["unseen"][1] <= 1 for sample in samples)
