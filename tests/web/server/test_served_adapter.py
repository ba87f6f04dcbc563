"""A server with an adapter says what the library says with it, by every way that names labels."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

import shapes
import unseen
from serving import serving, until
from unseen.learning.adapt import fit_adapter
from unseen.learning.calibrate import calibrate
from unseen.load_options import LoadOptions
from unseen.prediction.adapter import ZERO_SHOT, Adapter
from unseen.prediction.calibration_file import beside
from unseen.web.server.core.settings import Settings

LABELS = [f"a {colour} {shape}" for colour in ("red", "blue") for shape in shapes.SHAPES]
CLOSE = 1e-5


def blurred(label: str, seed: int) -> Image.Image:
    return shapes.draw(shapes.scene(label), seed).filter(ImageFilter.GaussianBlur(3.5))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def adapter(shapes_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    classifier = unseen.load(shapes_clip)
    rows = classifier.encode_images(blurred(la, s) for la in LABELS for s in range(5))
    owners = np.repeat(np.arange(len(LABELS)), 5)
    made = fit_adapter(rows, owners, classifier.compile(LABELS))
    assert made.method != ZERO_SHOT
    path = tmp_path_factory.mktemp("adapter") / "mine.safetensors"
    made.save(path)
    return path


def test_requests_sets_and_hugging_faces_way(
    shapes_clip: Path, adapter: Path, tmp_path: Path
) -> None:
    own = unseen.load(shapes_clip, adapter=adapter)
    plain = unseen.load(shapes_clip)
    content = png(blurred(LABELS[2], 60))
    labels = [*LABELS, "a green ring"]
    expected = {s.label: s.score for s in own.classify(content, labels).ranking}
    zero_shot = {s.label: s.score for s in plain.classify(content, labels).ranking}
    assert max(abs(expected[la] - zero_shot[la]) for la in labels) > 0.05
    image = base64.b64encode(content).decode()
    store = tmp_path / "sets.sqlite"

    def predictions(settings: Settings) -> list[dict[str, float]]:
        with serving(settings) as served, served.client() as client:
            client.put("/v1/labelsets/default", json={"labels": labels})
            asked = [{"labels": labels}, {"labelset": "default"}]
            answers = []
            for one in asked:
                body = client.post("/v1/classify", json={"image": image, **one}).json()
                ranking = body["predictions"][0]["ranking"]
                answers.append({row["label"]: row["score"] for row in ranking})
            template = own.model.template
            parameters = {"candidate_labels": labels, "hypothesis_template": template}
            octets = {"content-type": "application/octet-stream"}
            for answer in (
                client.post("/", json={"inputs": image, "parameters": parameters}),
                client.post("/", content=content, headers=octets),  # by the set called default
            ):
                answers.append({row["label"]: row["score"] for row in answer.json()})
            return answers

    settings = Settings(LoadOptions(str(shapes_clip), adapter=adapter), label_store=store)
    for answer in predictions(settings):
        assert answer == pytest.approx(expected, abs=CLOSE)
    # What it kept of the set is the texts: without the adapter it is zero-shot again.
    for answer in predictions(Settings(LoadOptions(str(shapes_clip)), label_store=store)):
        assert answer == pytest.approx(zero_shot, abs=CLOSE)


def test_evidence_is_refused_for_adapted_labels_alone(
    shapes_clip: Path, adapter: Path, tmp_path: Path
) -> None:
    image = base64.b64encode(png(blurred(LABELS[2], 60))).decode()
    settings = Settings(
        LoadOptions(str(shapes_clip), adapter=adapter), label_store=tmp_path / "s.sqlite"
    )
    with serving(settings) as served, served.client() as client:
        body = {"image": image, "unknown": "auto"}
        answer = client.post("/v1/classify", json={**body, "labels": LABELS})
        assert answer.status_code == 422 and "background labels" in answer.json()["detail"]
        answer = client.post("/v1/classify", json={**body, "labels": ["a green ring", "a wall"]})
        assert "evidence" in answer.json()["predictions"][0]


@pytest.mark.parametrize("of_adapted", [True, False])
def test_a_label_file_is_calibrated_as_the_adapter_has_it(
    of_adapted: bool, shapes_clip: Path, adapter: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "things.txt"
    labels.write_text("\n".join(LABELS), "utf-8")
    clf = unseen.load(shapes_clip, adapter=adapter if of_adapted else None)
    pairs = [(blurred(label, 70 + seed), label) for label in LABELS for seed in range(2)]
    made = calibrate(clf, pairs, labels)
    made.save(beside(labels))
    content = png(blurred(LABELS[2], 60))
    body = {"image": base64.b64encode(content).decode(), "labelset": "things"}
    settings = Settings(
        LoadOptions(str(shapes_clip), adapter=adapter),
        label_store=tmp_path / "s.sqlite",
        labels=(labels,),
    )
    own = unseen.load(shapes_clip, adapter=adapter)
    expected = own.classify(content, labels, calibration=made if of_adapted else None)
    with serving(settings) as served, served.client() as client:
        until(lambda: client.get("/v1/labelsets/things").status_code == 200)
        answer = client.post("/v1/classify", json=body)
        assert answer.status_code == 200, answer.text
        (said,) = answer.json()["predictions"]
    assert ("likely" in said) == of_adapted
    assert said["score"] == pytest.approx(expected.score, abs=CLOSE)


def test_the_adapter_of_another_model_is_refused(shapes_clip: Path, adapter: Path) -> None:
    made = Adapter.load(adapter)
    assert made.fingerprint == unseen.load(shapes_clip).model.fingerprint
    with (
        pytest.raises(unseen.LabelError, match="the adapter was made for"),
        serving(Settings(LoadOptions(adapter=adapter))),
    ):
        pass
