"""Label sets and adapters as files: those that an earlier release wrote, and what is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unseen
from unseen.errors import LabelError
from unseen.labels.compiled import FILE_FORMAT, CompiledLabels
from unseen.prediction.adapter import Adapter
from unseen.prediction.decision import Decision
from unseen.prediction.predict import label_probabilities

WRITTEN = Path(__file__).parents[1] / "fixtures" / "written"
KINDS: dict[str, Any] = {
    "labels": CompiledLabels,
    "adapted": CompiledLabels,
    "adapter": Adapter,
    "zero-shot": Adapter,
}


@pytest.fixture(scope="module")
def builtin() -> unseen.Classifier:
    return unseen.load()


def parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header and what follows; the order of its metadata means nothing."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"]["facts"] = json.loads(header["__metadata__"]["facts"])
    return header, content[end:]


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_was_written_before_is_read_and_written_alike(
    name: str, tmp_path: Path
) -> None:
    path = WRITTEN / f"{name}.safetensors"
    KINDS[name].load(path).save(tmp_path / path.name)
    assert parts((tmp_path / path.name).read_bytes()) == parts(path.read_bytes())


def test_what_was_written_before_says_the_same() -> None:
    labels = CompiledLabels.load(WRITTEN / "labels.safetensors")
    assert [label.name for label in labels.labels] == ["cat", "dog", "other"]
    assert labels.labels[0].threshold == 0.25 and labels.labels[2].background
    assert labels.prompts[0] == ("a cat", "猫")
    assert (labels.name, labels.model, labels.fingerprint) == ("pets", "builtin", "f" * 32)
    assert labels.matrix.shape == (3, 4) and labels.neutral.shape == (5, 4)
    np.testing.assert_allclose(np.linalg.norm(labels.matrix, axis=1), 1, atol=1e-6)
    adapter = Adapter.load(WRITTEN / "adapter.safetensors")
    assert adapter.id == "0a7a19bba2319a6c" and adapter.facts == {"pictures": 4, "note": "ä"}
    adapted = CompiledLabels.load(WRITTEN / "adapted.safetensors")
    again = adapter.apply(labels)
    np.testing.assert_array_equal(adapted.matrix, again.matrix)
    assert adapted.adapted is not None and adapted.adapted.adapter == adapter.id


def test_labels_of_0_1_0_get_their_score_from_the_model(builtin: unseen.Classifier) -> None:
    """Its files hold the score of an adapter only."""
    labels = CompiledLabels.load(WRITTEN / "labels.safetensors")
    picture = np.full((1, 4), 0.5, np.float32)
    with pytest.raises(LabelError, match=r"'pets' is from a file of unseen 0\.1\.0.*compile"):
        label_probabilities(picture, labels, Decision())
    model = replace(builtin.model, fingerprint=labels.fingerprint)
    opened = labels.for_model(model)
    names, probabilities, _ = label_probabilities(picture, opened, Decision())
    assert names == ["cat", "dog", "unknown"]
    e = np.exp(model.score.scale * (labels.matrix.astype(float) @ picture[0]))
    np.testing.assert_allclose(probabilities[0], e / e.sum(), rtol=1e-4)
    assert opened.for_model(model) is opened
    with pytest.raises(LabelError, match="compile it again"):
        labels.for_model(builtin.model)
    adapted = CompiledLabels.load(WRITTEN / "adapted.safetensors")
    assert adapted.score == Adapter.load(WRITTEN / "adapter.safetensors").score
    assert adapted.for_model(model).score == adapted.score


def test_the_score_is_in_the_file(builtin: unseen.Classifier) -> None:
    compiled = builtin.compile(["cat", "dog"])
    content = compiled.to_bytes()
    facts = parts(content)[0]["__metadata__"]["facts"]
    score = facts.pop("score")
    assert score == builtin.model.score.facts()
    assert (score["rule"], score["scale"]) == ("softmax", builtin.model.score.scale)
    picture = builtin.encode_images([np.full((40, 40, 3), 200, np.uint8)])
    expected = label_probabilities(picture, compiled, Decision())[1]
    opened = CompiledLabels.from_bytes(content, "here")
    np.testing.assert_array_equal(label_probabilities(picture, opened, Decision())[1], expected)
    # As 0.1.0 wrote it: the classifier fills the score in.
    before = FILE_FORMAT.to_bytes({"matrix": compiled.matrix, "neutral": compiled.neutral}, facts)
    filled = builtin.compile(CompiledLabels.from_bytes(before, "here"))
    np.testing.assert_array_equal(label_probabilities(picture, filled, Decision())[1], expected)


@pytest.mark.parametrize("kind", [CompiledLabels, Adapter])
def test_what_is_none_says_so(kind: Any, tmp_path: Path) -> None:
    what = "adapter" if kind is Adapter else "compiled label set"
    other = "labels" if kind is Adapter else "adapter"
    content = (WRITTEN / f"{other}.safetensors").read_bytes()
    for damaged in (b"", content[:-1], content[:100], b"\xff" * 200):
        with pytest.raises(LabelError, match=f"^here: this {what} is damaged"):
            kind.from_bytes(damaged, "here")
    with pytest.raises(LabelError, match=f"^here: not a valid {what}"):
        kind.from_bytes(content, "here")
    with pytest.raises(LabelError, match=f"there is no such {what}"):
        kind.load(tmp_path / "none.safetensors")
    with pytest.raises(LabelError, match=f"this {what} cannot be read"):
        kind.load(tmp_path)
    mine = kind.load(WRITTEN / f"{'adapter' if kind is Adapter else 'labels'}.safetensors")
    with pytest.raises(LabelError, match=r"must be a \.safetensors file"):
        mine.save(tmp_path / "mine.bin")
