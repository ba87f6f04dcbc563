"""`facets` of /v1/classify: each set answers as it does in a request of its own."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx
import pytest

import shapes

COLOURS, SHAPES = ["red", "blue", "green"], ["circle", "star", "square"]


def png(label: str) -> bytes:
    buffer = io.BytesIO()
    shapes.draw(shapes.scene(label), 0).save(buffer, "PNG")
    return buffer.getvalue()


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def ask(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/v1/classify", json=body)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def alone(client: httpx.Client, image: str, labels: Any, **options: Any) -> dict[str, Any]:
    (said,) = ask(client, image=image, labels=labels, **options)["predictions"]
    return {key: value for key, value in said.items() if key != "source"}


def test_each_set_answers_as_in_a_request_of_its_own(client: httpx.Client) -> None:
    image = b64(png("blue star"))
    facets = {
        "colour": COLOURS,
        "shape": {"labels": {"circle": None, "star": "a big {}"}, "multi_label": True, "top_k": 1},
        "thing": {"labels": SHAPES, "background": ["a boat"], "template": "one {}"},
    }
    body = ask(client, images=[image, "x"], facets=facets, min_score=0.1)
    assert list(body["facets"]) == ["colour", "shape", "thing"] and body["labelset"] is None
    first, broken = body["predictions"]
    assert first["facets"]["colour"] == alone(client, image, COLOURS, min_score=0.1)
    assert first["facets"]["shape"] == alone(
        client, image, facets["shape"]["labels"], multi_label=True, top_k=1, min_score=0.1
    )
    assert first["facets"]["thing"] == alone(
        client, image, SHAPES, background=["a boat"], template="one {}", min_score=0.1
    )
    assert "facets" not in broken and broken["error"]


def test_stored_sets_uploads_and_evidence(client: httpx.Client) -> None:
    assert client.put("/v1/labelsets/hues", json={"labels": COLOURS}).status_code in (200, 201)
    facets = {"colour": {"labelset": "hues"}, "shape": SHAPES}
    answer = client.post(
        "/v1/classify",
        files={"image": ("b.png", png("red circle"))},
        data={"facets": json.dumps(facets), "unknown": "auto"},
    )
    assert answer.status_code == 200, answer.text
    (said,) = answer.json()["predictions"]
    assert said["source"] == "b.png" and said["facets"]["shape"]["label"] == "circle"
    assert all("evidence" in one for one in said["facets"].values())
    assert answer.json()["facets"]["colour"]["labelset"]["name"] == "hues"
    assert client.delete("/v1/labelsets/hues").status_code == 204


@pytest.mark.parametrize(
    "body, status, words",
    [
        ({"facets": {}}, 422, "no label sets"),
        ({"facets": {"a": COLOURS}, "labels": COLOURS}, 422, "labels, labelset, or facets"),
        ({"facets": {"source": COLOURS}}, 422, "cannot be called"),
        ({"facets": {"a": {"labels": []}}}, 422, "no labels"),
        ({"facets": {"a": {"labelset": "nowhere"}}}, 404, "no label set"),
        ({"facets": {"a": {"labelset": "x", "labels": ["a"]}}}, 422, "its own labels"),
        ({"facets": {f"{i}": COLOURS for i in range(33)}}, 422, "at most 32"),
        (
            {"facets": {f"{i}": [f"label {j}" for j in range(300)] for i in range(4)}},
            413,
            "1,200 labels in a call",
        ),
    ],
)
def test_refused(client: httpx.Client, body: dict[str, Any], status: int, words: str) -> None:
    answer = client.post("/v1/classify", json={"image": b64(png("red circle")), **body})
    assert answer.status_code == status, answer.text
    assert words in answer.json()["detail"]


def test_a_concept_in_a_request_and_in_a_stored_set(client: httpx.Client) -> None:
    image, words = b64(png("blue star")), SHAPES
    template = {"template": "{}"}
    (first,) = ask(client, image=image, labels=words, concept="shape", **template)["predictions"]
    assert first != ask(client, image=image, labels=words, **template)["predictions"][0]
    alike = {word: f"{word}, a type of shape" for word in words}
    assert first == ask(client, image=image, labels=alike)["predictions"][0]
    put = client.put("/v1/labelsets/forms", json={"labels": words, "concept": "shape"})
    assert put.json()["concept"] == "shape" and put.json()["version"] == 1
    same = client.put("/v1/labelsets/forms", json={"labels": words, "concept": "shape"})
    other = client.put("/v1/labelsets/forms", json={"labels": words})
    assert (same.json()["version"], other.json()["version"]) == (1, 2)
    assert "concept" not in other.json()
    old = ask(client, image=image, labelset="forms@1")["predictions"]
    assert old == ask(client, image=image, labels=words, concept="shape")["predictions"]
    assert client.delete("/v1/labelsets/forms").status_code == 204


def test_descriptions_are_prompts_and_examples_are_refused(client: httpx.Client) -> None:
    image = b64(png("red circle"))
    described = {"circle": {"descriptions": ["a round edge"]}, "star": {"prompts": "a star"}}
    plain = {"circle": "circle, which has a round edge.", "star": "a star"}
    assert (
        ask(client, image=image, labels=described)["predictions"]
        == (ask(client, image=image, labels=plain)["predictions"])
    )
    stolen = {"circle": {"examples": ["/etc/passwd"]}, "star": None}
    for path, body in (
        ("/v1/classify", {"image": image, "labels": stolen}),
        ("/v1/classify", {"image": image, "facets": {"a": {"labels": stolen}}}),
    ):
        answer = client.post(path, json=body)
        assert answer.status_code == 422 and "no file may be named" in answer.json()["detail"]
    assert client.put("/v1/labelsets/x", json={"labels": stolen}).status_code == 422
