"""The key `w` of the review page: what the model looked at."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import browsers
import shapes
import unseen
from browsers import Browser
from reviewing import Birds, Serve
from unseen.annotation.labelling import Labelling
from unseen.annotation.propose import propose
from unseen.prediction.decision import Decision

LABELS = ["a red circle", "a blue square", "a green star", "a black cross", "a pink heart"]


@pytest.fixture(scope="module")
def model(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where it may be taken away."""
    return Path(shutil.copytree(shapes_clip, tmp_path_factory.mktemp("model") / "shapes"))


@pytest.fixture
def drawn(tmp_path: Path, model: Path) -> Birds:
    """A labelling of drawn shapes, made by the model that knows them."""
    folder = tmp_path / "drawn"
    folder.mkdir()
    for label in LABELS[:3]:
        shapes.draw(shapes.scene(label), 4).save(folder / f"{label}.png")
    classifier = unseen.load(model)
    with unseen.Index(folder) as index, Labelling(folder, create=True) as labelling:
        index.update(classifier.encoder)
        propose(labelling, index, classifier, classifier.compile(LABELS), Decision())
        return Birds(folder, {p.paths[0]: p.id for p in labelling.pictures()})


def test_it_says_what_the_library_says(drawn: Birds, serve: Serve, model: Path) -> None:
    with serve(drawn).client() as client:
        answer = client.get(f"/api/why/{drawn.ids['a red circle.png']}", timeout=120)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        other = client.get(
            f"/api/why/{drawn.ids['a red circle.png']}", params={"for": "a blue square"}
        ).json()
    method = body["explanation"]["method"]
    file = drawn.folder / "a red circle.png"
    expected = unseen.load(model).explain(file, LABELS, method=method)
    assert body["explanation"]["label"] == expected.label == "a red circle"
    assert body["explanation"]["sentence"] == expected.sentence
    assert other["explanation"]["sentence"].startswith("Without the marked tenth: a blue square")
    assert body["maps"]["labels"] == LABELS
    grids = np.frombuffer(base64.b64decode(body["maps"]["data"]), "<f2").reshape(len(LABELS), -1)
    assert expected.scores is not None
    assert np.allclose(grids[0], expected.scores, atol=0.02, rtol=0.01)


def problem(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["detail"])


def test_what_cannot_be_explained_is_said(drawn: Birds, serve: Serve, birds: Birds) -> None:
    with serve(drawn).client() as client:
        name = "a blue square.png"
        why = f"/api/why/{drawn.ids[name]}"
        detail = problem(client.get(why, params={"for": "a dragon"}, timeout=120), 409)
        assert "not among the labels" in detail
        (drawn.folder / name).write_bytes(b"changed")
        assert "run `unseen label` again" in problem(client.get(why), 400)
        assert "32 hexadecimal" in problem(client.get("/api/why/x"), 422)
        assert "no such picture" in problem(client.get(f"/api/why/{'0' * 32}"), 404)
    with serve(birds).client() as client:  # made without a model
        detail = problem(client.get(f"/api/why/{birds.ids['bird00.png']}"), 409)
        assert "run `unseen label` again" in detail


def test_a_model_that_is_gone_is_said(drawn: Birds, serve: Serve, model: Path) -> None:
    away = model.rename(model.with_name("away"))
    try:
        with serve(drawn).client() as client:
            why = client.get(f"/api/why/{drawn.ids['a green star.png']}")
            assert "is not here" in problem(why, 409)
    finally:
        away.rename(model)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsers.chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield Browser(driver)


@pytest.mark.parametrize("size", [browsers.DESK, browsers.PHONE])
def test_a_key_shows_what_the_model_looked_at(
    page: Browser, drawn: Birds, serve: Serve, size: Any
) -> None:
    page.open(serve(drawn).address, size)
    page.until(lambda: page.shown("#bars .word"))
    page.until(lambda: page.shown("#shown"))
    assert page.shown("#map") == []
    best = page.shown("#bars .best .word")[0]
    page.keys("w")
    page.until(lambda: page.shown("#map"), 120)
    assert f"Most speaks for {best} at the" in page.one("#why-says").text
    assert "tenth" in page.one("#why-says").text
    assert page.one("#why").get_attribute("aria-pressed") == "true"
    assert best in page.one("#map").get_attribute("aria-label")
    other = page.shown("#bars .word")[1]
    page.js("document.querySelectorAll('#bars .bar')[1].focus()")
    page.until(lambda: f"Most speaks for {other} at the" in page.one("#why-says").text)
    page.until(lambda: f"tenth: {other}" in page.one("#why-says").text)
    before = page.one("#file").text
    page.js("document.activeElement.blur()")
    page.keys("a")  # decided, and the next picture is explained by itself
    page.until(lambda: page.one("#file").text != before)
    page.until(lambda: page.shown("#map"))
    page.keys("w")
    assert page.shown("#map") == [] and page.one("#why-says").text == ""
    assert page.has_no_sideways_scroll()
    assert page.log() == []
