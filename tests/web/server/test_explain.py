"""`POST /v1/explain`: what it says is what the library says, and it is refused as all else is."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

import shapes
import unseen
from serving import Served, serving
from unseen.explanation import trust
from unseen.load_options import LoadOptions
from unseen.system import cache
from unseen.web.server.core.settings import ServerLimits, Settings

PAIR = shapes.Scene(
    (shapes.Thing("red", "circle", "large"), shapes.Thing("blue", "square", "large")), "left of"
)
LABELS = ["a red circle", "a blue square", "a green star", "a black cross", "a pink heart"]


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Wider than it is high: some of it is not seen."""
    wide = Image.new("RGB", (160, 100), "white")
    wide.paste(shapes.draw(PAIR, 3).resize((100, 100)), (30, 0))
    return wide


def ask(client: httpx.Client, picture: Image.Image, **fields: Any) -> dict[str, Any]:
    body = {"image": b64(png(picture)), "labels": LABELS, **fields}
    answer = client.post("/v1/explain", json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


def numbers(part: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(part["data"]), "<f2").astype(np.float32)


def test_it_says_what_the_library_says(
    client: httpx.Client, classifier: unseen.Classifier, picture: Image.Image
) -> None:
    answer = ask(
        client,
        picture,
        **{"for": "a red circle", "against": "a blue square"},
        method="parts",
        more=["words", "concepts", "counterfactual"],
    )
    expected = classifier.explain(
        png(picture), LABELS, "a red circle", "a blue square", method="parts"
    )
    said, plain = answer["explanation"], expected.to_dict()
    assert answer["fingerprint"] == classifier.model.fingerprint
    for field in ("label", "against", "method", "exact", "size", "notes", "cropped"):
        assert said[field] == plain[field], field
    for field in ("probability", "coverage", "without", "only", "concept_fit"):
        assert said[field] == pytest.approx(plain[field], abs=1e-4), field
    assert np.allclose(said["grid"], plain["grid"], atol=1e-4)
    assert said["sentence"].startswith("Without the marked tenth: a red circle")
    assert [w["word"] for w in said["words"]] == [w.word for w in expected.words]
    assert said["concepts"] == [] or said["concept_fit"] >= 0.3
    assert "neighbours" not in said
    part = answer["map"]
    assert (part["format"], part["width"], part["height"]) == ("float16", 160, 100)
    assert expected.map is not None
    assert np.allclose(numbers(part).reshape(100, 160), expected.map, atol=0.01)


def test_the_grids_of_all_labels_come_in_one_answer(
    client: httpx.Client, picture: Image.Image
) -> None:
    answer = ask(client, picture, all_labels=True, map="none", method="parts", more=[])
    maps = answer["maps"]
    assert maps["labels"] == LABELS and answer["map"] is None
    grids = numbers(maps).reshape(len(LABELS), 1, maps["rows"], maps["columns"])
    for label, grid in zip(LABELS, grids, strict=True):
        one = ask(client, picture, **{"for": label}, map="none", method="parts", more=[])
        assert np.allclose(grid, one["explanation"]["grid"], atol=0.01, rtol=0.01)


def test_a_drawing_and_a_form(client: httpx.Client, picture: Image.Image) -> None:
    answer = client.post(
        "/v1/explain",
        files={"image": ("pair.png", png(picture), "image/png")},
        data={"labels": ",".join(LABELS), "for": "a blue square", "map": "png", "more": "words"},
        timeout=120,
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["explanation"]["label"] == "a blue square"
    assert body["explanation"]["source"] == "pair.png"
    assert body["explanation"]["alt"].startswith("Map of pair.png: most speaks for a blue square")
    drawn = Image.open(io.BytesIO(base64.b64decode(body["map"]["data"])))
    assert drawn.format == "PNG" and drawn.size == (body["map"]["width"], body["map"]["height"])


def test_other_labels_of_a_picture_need_no_network(
    server: Served, client: httpx.Client, picture: Image.Image
) -> None:
    turned = picture.rotate(180)
    ask(client, turned, more=[])

    def hits() -> float:
        lines = client.get("/metrics").text.splitlines()
        text = 'unseen_cache_total{kind="rows",result="hit"} '
        return next((float(x.removeprefix(text)) for x in lines if x.startswith(text)), 0.0)

    before = hits()
    ask(client, turned, labels=["a circle", "a square", "a star"], more=[])
    assert hits() == before + 1


@pytest.mark.parametrize(
    "fields, status, words",
    [
        ({"for": "a dragon"}, 422, "not among the labels"),
        ({"for": "a red circle", "against": "a red circle"}, 422, "against itself"),
        ({"method": "grad-cam"}, 422, "method"),
        ({"map": "jpeg"}, 422, "map"),
        ({"more": ["words"] * 4}, 422, "more"),
        ({"image": b64(b"this is no picture at all, only words" * 4)}, 400, "not a picture"),
        ({"image": "https://127.0.0.1/cat.jpg"}, 400, "--urls"),
        ({"image": {"embedding": b64(np.zeros(64, "<f4").tobytes())}}, 422, "no places"),
        ({"labels": None}, 422, "no labels"),
        ({"labelset": "none-of-that-name", "labels": None}, 404, "no label set"),
        ({"labels": [f"label {i}" for i in range(2000)]}, 413, "at most 1,000"),
    ],
)
def test_what_is_wrong_is_said(
    client: httpx.Client, picture: Image.Image, fields: dict[str, Any], status: int, words: str
) -> None:
    body = {"image": b64(png(picture)), "labels": LABELS, **fields}
    answer = client.post("/v1/explain", json=body, timeout=120)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


def test_two_pictures_are_one_too_many(client: httpx.Client, picture: Image.Image) -> None:
    files = [("image", ("a.png", png(picture), "image/png"))] * 2
    answer = client.post("/v1/explain", files=files, data={"labels": "a,b"})
    assert answer.status_code == 413 and "one is explained" in answer.json()["detail"]


def test_edges_have_sensible_answers(client: httpx.Client) -> None:
    dot = ask(client, Image.new("RGB", (1, 1), "red"), more=[])
    assert dot["map"]["width"] == dot["map"]["height"] == 1
    many = ask(client, shapes.draw(PAIR, 4), labels=shapes.labels(), all_labels=True, more=[])
    assert len(many["maps"]["labels"]) == len(shapes.labels())
    assert all(math.isfinite(x) for x in numbers(many["maps"]))
    wordy = ask(client, shapes.draw(PAIR, 4), labels={"x": "a " * 40 + "circle", "y": "square"})
    assert wordy["explanation"]["words"] == [] or wordy["explanation"]["label"] == "y"


def test_classification_goes_on_beside_explanations(
    client: httpx.Client, picture: Image.Image
) -> None:
    body = {"image": b64(png(picture)), "labels": LABELS}

    def explain(number: int) -> httpx.Response:
        turned = png(picture.rotate(number))
        return client.post("/v1/explain", json=body | {"image": b64(turned)}, timeout=120)

    ask(client, picture)
    with ThreadPoolExecutor(24) as pool:
        explained = [pool.submit(explain, number) for number in range(24)]
        statuses = [client.post("/v1/classify", json=body).status_code for _ in range(20)]
        answers = [future.result() for future in explained]
    assert statuses == [200] * 20
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert sum(answer.status_code == 200 for answer in answers) >= 4
    for answer in answers:
        assert answer.status_code == 200 or int(answer.headers["Retry-After"]) >= 1


def test_an_int8_model_is_explained_through_fp32(shapes_clip: Path, tmp_path: Path) -> None:
    options = LoadOptions(str(shapes_clip), precision="int8")
    with (
        serving(Settings(options, label_store=tmp_path / "sets.sqlite")) as served,
        served.client() as client,
    ):
        answer = ask(client, shapes.draw(PAIR, 3), more=[])
    assert any("int8" in note and "fp32" in note for note in answer["explanation"]["notes"])


@pytest.fixture
def untrusted(shapes_clip: Path, tmp_path: Path, fresh_home: Path) -> Iterator[Served]:
    """A model of which no map earned trust, by the record that is in the cache."""
    fingerprint = unseen.load(shapes_clip).model.fingerprint
    facts = json.dumps({"method": "none", "gaps": {"parts": -0.1, "drop": 0.0}, "pictures": 20})
    cache.intact_folder(
        f"{fingerprint}-explained-v{trust.VERSION}",
        lambda folder: (folder / trust.FILE).write_text(facts),
    )
    settings = Settings(LoadOptions(str(shapes_clip)), label_store=tmp_path / "sets.sqlite")
    with serving(settings) as served:
        yield served


def test_what_earned_no_trust_is_not_drawn(untrusted: Served) -> None:
    with untrusted.client() as client:
        answer = ask(client, shapes.draw(PAIR, 3), all_labels=True)
        assert answer["explanation"]["method"] == "none"
        assert answer["map"] is None and answer["maps"] is None
        assert "cannot be explained by place" in answer["explanation"]["sentence"]
        assert answer["explanation"]["words"]


def test_a_slow_first_answer_says_so_and_goes_on(shapes_clip: Path, tmp_path: Path) -> None:
    """With no time at all to compile, the first request is told to come again, and a later one is
    answered."""
    limits = ServerLimits(seconds=1.0)
    settings = Settings(
        LoadOptions(str(shapes_clip)), label_store=tmp_path / "sets.sqlite", limits=limits
    )
    body = {"image": b64(png(shapes.draw(PAIR, 3))), "labels": LABELS, "more": []}
    with serving(settings) as served, served.client() as client:
        for _ in range(300):
            answer = client.post("/v1/explain", json=body, timeout=120)
            if answer.status_code == 200:
                break
            assert answer.status_code == 503 and "Retry-After" in answer.headers
        assert answer.status_code == 200


def test_info_says_whether_it_can(client: httpx.Client) -> None:
    assert client.get("/info").json()["explain"] is True
