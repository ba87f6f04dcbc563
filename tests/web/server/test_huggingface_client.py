"""huggingface_hub's client, unchanged, against a server; the judge is transformers' pipeline."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import BadRequestError, HfHubHTTPError
from PIL import Image

import hf_checkpoints
import unseen
from asking import KEY, ask, b64, png
from serving import serving
from unseen.load_options import LoadOptions
from unseen.web.server.core.settings import Settings

pytestmark = pytest.mark.usefixtures("only_loopback")

LABELS = ["blue square", "red circle", "green star", "a red circle, drawn by hand"]


@pytest.fixture(autouse=True)
def _not_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client asks nobody, not even loopback, while the tests' HF_HUB_OFFLINE holds."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY", True)  # asks the hub


def client(url: str, key: str | None = None) -> InferenceClient:
    return InferenceClient(base_url=url, token=key)


def scores(answer: Any) -> dict[str, float]:
    return {row.label: row.score for row in answer}


def of_transformers(checkpoint: Path, content: bytes, labels: list[str], **named: Any) -> Any:
    from transformers import pipeline

    judge = pipeline(
        "zero-shot-image-classification", model=str(checkpoint), device=-1, use_fast=False
    )
    return judge(Image.open(io.BytesIO(content)).convert("RGB"), candidate_labels=labels, **named)


@pytest.mark.parametrize("template", [None, "a {}", "{} and {}"])
def test_the_numbers_are_those_of_transformers_and_of_our_pipeline(
    url: str, shapes_clip: Path, template: str | None
) -> None:
    content = png("a red circle")
    named = {"hypothesis_template": template} if template else {}
    answer = client(url).zero_shot_image_classification(content, LABELS, **named)
    found = scores(answer)
    ours = unseen.pipeline(model=shapes_clip)(content, LABELS, **named)
    assert found == pytest.approx({r["label"]: r["score"] for r in ours}, abs=1e-6)
    if template != "{} and {}":  # which str.format refuses, for one label
        theirs = of_transformers(shapes_clip, content, LABELS, **named)
        assert found == pytest.approx({r["label"]: r["score"] for r in theirs}, abs=1e-4)
    assert [row.score for row in answer] == sorted(found.values(), reverse=True)
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-5)
    assert answer[0].label == "red circle"


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_checkpoints.siglip(tmp_path_factory.mktemp("siglip"))


def test_a_sigmoid_family_gives_a_softmax(siglip: Path, tmp_path: Path) -> None:
    """Its logits are transformers', and they sum to 1 here."""
    content = png("a red circle")
    settings = Settings(LoadOptions(str(siglip)), label_store=tmp_path / "labelsets.sqlite")
    with serving(settings) as served:
        found = scores(client(served.url).zero_shot_image_classification(content, LABELS))
    sigmoids = {r["label"]: r["score"] for r in of_transformers(siglip, content, LABELS)}
    logits = np.array([np.log(sigmoids[label] / (1 - sigmoids[label])) for label in LABELS])
    softmax = np.exp(logits - logits.max())
    softmax /= softmax.sum()
    assert [found[label] for label in LABELS] == pytest.approx(softmax, abs=1e-4)
    assert sum(found.values()) == pytest.approx(1.0, abs=1e-5)


def test_labels_come_back_as_they_were_sent(url: str) -> None:
    labels = ["  Red   Circle ", "blue square", "blue square", "роза"]
    answer = client(url).zero_shot_image_classification(png("a red circle"), labels)
    assert sorted(row.label for row in answer) == sorted(labels)


def test_paths_and_urls_of_the_client(url: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(png("a red circle"))
    for given in (path, str(path), path.read_bytes()):
        assert client(url).zero_shot_image_classification(given, LABELS)[0].label == "red circle"


BODIES = {
    "huggingface_hub 2": lambda b, ls: {"inputs": b, "parameters": {"candidate_labels": ls}},
    "javascript": lambda b, ls: {"inputs": {"image": b}, "parameters": {"candidate_labels": ls}},
    "huggingface_hub 0.26": lambda b, ls: {
        "inputs": {"image": b, "candidateLabels": ",".join(ls)},
        "parameters": {"hypothesis_template": None},
    },
    "huggingface_hub 0.19": lambda b, ls: {
        "image": b,
        "parameters": {"candidate_labels": ",".join(ls)},
    },
}


@pytest.mark.parametrize("form", BODIES)
def test_other_clients_forms_of_the_same_question(url: str, form: str) -> None:
    labels = ["blue square", "red circle"]
    status, answer, _ = ask(url + "/", BODIES[form](b64("a red circle"), labels))
    assert status == 200, answer
    reference = client(url).zero_shot_image_classification(png("a red circle"), labels)
    assert answer == [{"label": row.label, "score": row.score} for row in reference]


def test_feature_extraction(url: str, classifier: unseen.Classifier) -> None:
    texts = ["a red circle", "a blue square"]
    rows = client(url).feature_extraction(texts)
    assert rows.dtype == np.float32
    assert np.abs(rows - classifier.encode_texts(texts)).max() < 1e-6
    one = client(url).feature_extraction("a red circle", normalize=True, truncate=True)
    assert np.abs(one - rows[:1]).max() < 1e-6
    first = client(url).feature_extraction("a red circle", dimensions=8)
    assert np.abs(first - rows[:1, :8] / np.linalg.norm(rows[:1, :8])).max() < 1e-6


def test_a_picture_without_labels_is_not_embedded_as_a_text(url: str) -> None:
    for content in (b64("a red circle"), f"data:image/png;base64,{b64('a red circle')}"):
        for body in ({"inputs": content}, {"inputs": [content]}, {"inputs": {"image": content}}):
            status, answer, _ = ask(url + "/", body)
            assert status == 422
            assert "candidate_labels" in answer["error"]


def test_raw_bytes_need_a_label_set_called_default(shapes_clip: Path, tmp_path: Path) -> None:
    settings = Settings(LoadOptions(str(shapes_clip)), label_store=tmp_path / "labelsets.sqlite")
    with serving(settings) as served:
        url = served.url
        with pytest.raises(HfHubHTTPError) as caught:
            client(url).image_classification(png("a red circle"))
        assert caught.value.response.status_code == 422
        assert "candidate_labels" in str(caught.value)
        labels = {"labels": ["red circle", "blue star"]}
        assert ask(f"{url}/v1/labelsets/default", labels, method="PUT")[0] == 201
        path = tmp_path / "picture.png"  # whose type the client sends
        path.write_bytes(png("a red circle"))
        for given in (path, path.read_bytes()):
            answer = client(url).image_classification(given)
            assert answer[0].label == "red circle"
            assert sum(scores(answer).values()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "content",
    [b"no picture", png("a red circle")[:150], b"\x89PNG\r\n\x1a\n" + bytes(2000)],
    ids=["text", "cut", "zeros"],
)
def test_what_people_see_of_a_bad_picture(url: str, content: bytes) -> None:
    with pytest.raises(BadRequestError) as caught:
        client(url).zero_shot_image_classification(content, LABELS)
    assert "image 0" in caught.value.server_message
    assert caught.value.response.status_code == 400


def test_what_is_wrong_is_said(url: str) -> None:
    picture = b64("a red circle")
    labels = {"candidate_labels": ["a", "b"]}
    for body, word in (
        ({"inputs": picture, "parameters": {"candidate_labels": []}}, "candidate_labels"),
        ({"inputs": picture, "parameters": {"candidate_labels": ["a", " "]}}, "candidate_labels"),
        ({"inputs": picture, "parameters": {**labels, "hypothesis_template": "imagenet"}}, "{}"),
        ({"inputs": ["a"], "parameters": labels}, "inputs"),
        ({"parameters": labels}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({}, "inputs"),
        ({"inputs": 3}, "inputs"),
        ({"inputs": "a", "dimensions": 65}, "dimensions"),
        ([], "body"),
    ):
        status, answer, _ = ask(url + "/", body)
        assert (status, list(answer)) == (422, ["error"]), body
        assert word in answer["error"], body
    assert ask(url + "/", {"inputs": "http://127.0.0.1/a.png", "parameters": labels})[0] == 400


def test_too_many_labels(url: str) -> None:
    labels = [f"label {i}" for i in range(1001)]
    status, answer, _ = ask(
        url + "/", {"inputs": b64("a red circle"), "parameters": {"candidate_labels": labels}}
    )
    assert status == 413
    assert "1,000" in answer["error"]


def test_the_key(locked_url: str) -> None:
    content = png("a red circle")
    assert client(locked_url, KEY).zero_shot_image_classification(content, LABELS)
    with pytest.raises(HfHubHTTPError) as caught:
        client(locked_url, "wrong").zero_shot_image_classification(content, LABELS)
    assert caught.value.response.status_code == 401
    assert "unknown API key" in str(caught.value)


def test_overload(busy_url: str) -> None:
    with pytest.raises(HfHubHTTPError) as caught:
        client(busy_url).zero_shot_image_classification(png("a red circle"), LABELS)
    assert caught.value.response.status_code == 503
    assert caught.value.response.headers["Retry-After"] == "1"
    assert "busy" in str(caught.value)


def test_base64_with_line_breaks(url: str) -> None:
    content = base64.encodebytes(png("a red circle")).decode()
    body = {"inputs": content, "parameters": {"candidate_labels": ["red circle", "blue star"]}}
    assert ask(url + "/", body)[1][0]["label"] == "red circle"
