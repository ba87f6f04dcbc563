"""Label vectors for Intel's DL Streamer, read as its documents say that it reads them."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import hf_checkpoints
import unseen
from unseen.errors import LabelError
from unseen.labels.compiled import Adapted
from unseen.prediction.calibration import Calibration, words_sha256

LABELS = ["cat", "dog", "castle"]


def read(path: Path) -> tuple[NDArray[np.float32], dict[str, str]]:
    """The one array, and the metadata: what a reader of a few lines finds in the bytes."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__")
    ((name, entry),) = header.items()
    assert name == "embeddings" and entry["dtype"] == "F32"
    start, end = entry["data_offsets"]
    values = np.frombuffer(content[8 + length :][start:end], "<f4")
    return values.reshape(entry["shape"]), metadata


def as_dlstreamer(path: Path, embedding: NDArray[Any]) -> NDArray[Any]:
    matrix, metadata = read(path)
    matrix = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    logits = float(metadata["logit_scale"]) * (matrix @ (embedding / np.linalg.norm(embedding)))
    exponentials = np.exp(logits - logits.max())
    return np.asarray(exponentials / exponentials.sum())


@pytest.fixture(scope="module")
def classifier() -> unseen.Classifier:
    return unseen.load(exact=True)


def test_its_probabilities_are_the_librarys(
    classifier: unseen.Classifier, tmp_path: Path, photographs: Path
) -> None:
    path = tmp_path / "pets.safetensors"
    listed = classifier.export_dlstreamer(LABELS, path)
    assert listed == tmp_path / "pets.labels.txt"
    assert listed.read_text().splitlines() == LABELS
    for name in ("cat", "castle", "fish"):
        picture = sorted((photographs / name).iterdir())[0]
        given = as_dlstreamer(path, classifier.encode_images([picture])[0])
        right = {s.label: s.score for s in classifier.classify(picture, LABELS).ranking}
        assert dict(zip(LABELS, given, strict=True)) == pytest.approx(right, abs=1e-5)
    _, metadata = read(path)
    assert metadata["model"] == "builtin"
    assert json.loads(metadata["labels"]) == LABELS


def test_a_temperature_is_part_of_the_scale(
    classifier: unseen.Classifier, tmp_path: Path, photographs: Path
) -> None:
    labels = classifier.compile(LABELS)
    calibration = Calibration(
        labels.model,
        labels.fingerprint,
        tuple(LABELS),
        words_sha256(labels),
        False,
        9,
        temperature=1.7,
    )
    path = tmp_path / "x.safetensors"
    classifier.export_dlstreamer(labels, path, calibration=calibration)
    picture = sorted((photographs / "cat").iterdir())[0]
    given = as_dlstreamer(path, classifier.encode_images([picture])[0])
    prediction = classifier.classify(picture, labels, calibration=calibration)
    right = {s.label: s.score for s in prediction.ranking}
    assert dict(zip(LABELS, given, strict=True)) == pytest.approx(right, abs=1e-5)
    prior = replace(calibration, prior=dict.fromkeys(LABELS, 0.5))
    with pytest.raises(LabelError, match="adds a number to each label"):
        classifier.export_dlstreamer(labels, path, calibration=prior)


def test_what_it_cannot_compute_is_refused(classifier: unseen.Classifier, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    siglip = unseen.load(hf_checkpoints.siglip(tmp_path / "siglip"))
    with pytest.raises(LabelError, match="decides for each label by itself"):
        siglip.export_dlstreamer(LABELS, path)
    labels = classifier.compile(LABELS)
    longer = replace(labels, matrix=labels.matrix * 1.3, adapted=Adapted("x"))
    with pytest.raises(LabelError, match="lengths that mean something"):
        classifier.export_dlstreamer(longer, path)
    with pytest.raises(LabelError, match="give it that ending"):
        classifier.export_dlstreamer(labels, tmp_path / "x.pth")
    assert not path.exists()
