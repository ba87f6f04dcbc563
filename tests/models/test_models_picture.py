"""The picture in the docs is the one that the data make."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from unseen.models import catalog

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "models_picture", ROOT / "tools/models_picture.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_file_is_up_to_date(tool: ModuleType) -> None:
    text = (ROOT / "docs" / "models.svg").read_text("utf-8")
    assert text == tool.picture(), "run python tools/models_picture.py"
    assert len(text) < 60_000


def test_every_row_with_a_figure_is_in_the_frame(tool: ModuleType) -> None:
    root = ElementTree.fromstring(tool.picture())
    titles = [element.text or "" for element in root.iter() if element.tag.endswith("title")]
    for model in catalog.models():
        shown = [title for title in titles if title.startswith(f"{model.id}: ")]
        assert len(shown) == (model.imagenet_top1 is not None), model.id
        if shown:
            assert model.licence in shown[0]
            assert tool.LEFT < tool.x_of(model.gflops) < tool.RIGHT, model.id
            assert tool.TOP < tool.y_of(model.imagenet_top1) < tool.BOTTOM, model.id


def test_licences_differ_in_colour_and_in_shape(tool: ModuleType) -> None:
    marks = [tool.mark(use, 100, 100, "") for use in tool.USES]
    assert len({re.match(r"<(\w+)", mark)[1] for mark in marks}) == 3
    assert len({re.search(r'fill="(#\w+)"', mark)[1] for mark in marks}) == 3
