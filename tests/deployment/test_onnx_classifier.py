"""Exported files in plain ONNX Runtime, against the library on the same decoded pixels."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

import checkpoints
import hf_checkpoints
import openclip_checkpoints
import unseen
from unseen.deployment import onnx_classifier
from unseen.errors import LabelError, ModelError, SourceError
from unseen.models.model import Score
from unseen.prediction.calibration import Calibration, words_sha256

LABELS = ["cat", "dog", "castle", "a red cup of coffee"]
FAMILIES: dict[str, Callable[[Path], Path]] = {
    "clip": lambda folder: checkpoints.clip(folder),
    "siglip": lambda folder: hf_checkpoints.siglip(folder),
    "altclip": lambda folder: hf_checkpoints.altclip(folder),
    "chinese_clip": lambda folder: hf_checkpoints.chinese_clip(folder),
    "align": lambda folder: hf_checkpoints.align(folder),
    "clipseg": lambda folder: hf_checkpoints.clipseg(folder),
    "open_clip, not square": lambda folder: openclip_checkpoints.openclip(folder, "odd"),
    "open_clip resnet": lambda folder: openclip_checkpoints.openclip(folder, "resnet"),
    "biomedclip": lambda folder: openclip_checkpoints.openclip(folder, "biomedclip"),
    "open_clip timm": lambda folder: openclip_checkpoints.openclip(folder, "timm clip"),
}


def run(path: Path, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """As somebody runs it who knows ONNX Runtime and nothing of this project."""
    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    (source,) = session.get_inputs()
    return dict(zip(names, session.run(None, {source.name: image}), strict=True))


def pixels(photographs: Path, name: str = "cat") -> NDArray[np.uint8]:
    return np.asarray(Image.open(next((photographs / name).iterdir())).convert("RGB"))


def assert_same(
    classifier: unseen.Classifier,
    path: Path,
    labels: Any,
    image: NDArray[np.uint8],
    tolerance: float = 1e-5,
    **how: Any,
) -> None:
    """Cosines within `tolerance`, probabilities within that times the scale (at most 100)."""
    outputs = run(path, image)
    prediction = classifier.classify(Image.fromarray(image), labels, min_score=0, **how)
    answers = json.loads(onnx_metadata(path)["labels"])
    by_name = dict(zip(answers, outputs["probabilities"].ravel(), strict=True))
    cosines = dict(zip(answers, outputs["cosines"].ravel(), strict=True))
    for scored in prediction.ranking:
        assert by_name[scored.label] == pytest.approx(scored.score, abs=100 * tolerance)
        assert cosines[scored.label] == pytest.approx(scored.cosine, abs=tolerance)


def onnx_metadata(path: Path) -> dict[str, str]:
    model = onnx.load(path, load_external_data=False)
    return {p.key: p.value for p in model.metadata_props}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family(family: str, tmp_path: Path, photographs: Path) -> None:
    classifier = unseen.load(FAMILIES[family](tmp_path / "model"), exact=True)
    path = tmp_path / "x.onnx"
    with_embedding = unseen.ExportOptions(with_embedding=True)
    exported = classifier.export(LABELS, path, with_embedding)
    assert exported.answers == tuple(LABELS)
    report = classifier.check_export(exported, LABELS, photographs / "horse")
    assert report.passed
    assert report.largest_difference < 1e-3
    assert report.least_cosine is not None and report.least_cosine >= 0.99999
    assert_same(classifier, path, LABELS, pixels(photographs), 1e-4)


def test_pictures_of_any_size(
    classifier: unseen.Classifier, tmp_path: Path, photographs: Path
) -> None:
    path = tmp_path / "x.onnx"
    classifier.export(LABELS, path)
    whole = Image.fromarray(pixels(photographs))
    for width, height in [(1, 1), (1, 300), (300, 1), (223, 224), (800, 601)]:
        image = np.asarray(whole.resize((width, height)))
        assert_same(classifier, path, LABELS, image)


def test_background_labels_are_the_last_answer(
    classifier: unseen.Classifier, tmp_path: Path, photographs: Path
) -> None:
    path = tmp_path / "x.onnx"
    background = ["something else", "a texture"]
    exported = classifier.export(["cat", "dog"], path, background=background)
    assert exported.answers == ("cat", "dog", "unknown")
    labels = classifier.compile(["cat", "dog"], background=background)
    for name in ("cat", "castle"):
        assert_same(classifier, path, labels, pixels(photographs, name))


def test_several_labels_a_picture(
    classifier: unseen.Classifier, tmp_path: Path, photographs: Path
) -> None:
    path = tmp_path / "x.onnx"
    labels = unseen.LabelSet.of({"cat": {"threshold": 0.7}, "dog": {}})
    exported = classifier.export(labels, path, multi_label=True)
    assert json.loads(exported.metadata["thresholds"]) == {"cat": 0.7, "dog": 0.5}
    assert_same(classifier, path, labels, pixels(photographs), multi_label=True)
    with_background = classifier.compile(["cat", "dog"], background=["something else"])
    classifier.export(with_background, path, multi_label=True)
    assert_same(classifier, path, with_background, pixels(photographs), multi_label=True)
    two = classifier.compile(["cat", "dog"], background=["something else", "a texture"])
    unfitted = replace(two, stored_score=Score("softmax", 50.0))  # goes by how many there are
    classifier.export(unfitted, path, multi_label=True)
    assert_same(classifier, path, unfitted, pixels(photographs), multi_label=True)


def test_a_calibration(classifier: unseen.Classifier, tmp_path: Path, photographs: Path) -> None:
    labels = classifier.compile(["cat", "dog"])
    calibration = Calibration(
        labels.model,
        labels.fingerprint,
        ("cat", "dog"),
        words_sha256(labels),
        False,
        9,
        temperature=1.7,
        prior={"cat": -0.5, "dog": 0.5},
    )
    path = tmp_path / "x.onnx"
    classifier.export(labels, path, calibration=calibration)
    assert_same(classifier, path, labels, pixels(photographs), calibration=calibration)
    other = replace(calibration, words_sha256="0" * 64)
    with pytest.raises(LabelError, match="does not fit"):
        classifier.export(labels, path, calibration=other)


EVIDENCE_LABELS: list[list[str]] = [
    ["cat", "dog"],
    ["animal", "building"],
    ["critter", "houseware", "mammals", "a castle", "clownfish"],
    ["cat", "dog", "old"],  # one names no thing
]


@pytest.mark.parametrize("labels", EVIDENCE_LABELS, ids=", ".join)
def test_unknown_auto(
    classifier: unseen.Classifier, tmp_path: Path, photographs: Path, labels: list[str]
) -> None:
    path = tmp_path / "x.onnx"
    with_background = classifier.compile(labels, background=["a texture"])
    for given in (labels, with_background):
        classifier.export(given, path, unknown="auto")
        assert json.loads(onnx_metadata(path)["least_evidence"]) == 1.2
        for name in ("cat", "castle", "fish"):
            image = pixels(photographs, name)
            right = classifier.classify(Image.fromarray(image), given, unknown="auto")
            evidence = run(path, image)["evidence"]
            assert evidence.shape == ()
            assert float(evidence) == pytest.approx(right.evidence, abs=1e-3)
            assert (float(evidence) < 1.2) == right.unknown or given is with_background
        assert_same(classifier, path, given, pixels(photographs), unknown="auto")


def test_unknown_auto_of_a_model_that_knows_few_words(
    shapes_clip: Path, tmp_path: Path, photographs: Path
) -> None:
    """Its evidence is measured against pictures of nothing."""
    classifier = unseen.load(shapes_clip, exact=True)
    labels = ["red circle", "blue square"]
    assert not classifier.reference_set().knows_words
    path = tmp_path / "x.onnx"
    exported = classifier.export(labels, path, unknown="auto")
    for name in ("cat", "castle"):
        image = pixels(photographs, name)
        right = classifier.classify(Image.fromarray(image), labels, unknown="auto")
        assert float(run(path, image)["evidence"]) == pytest.approx(right.evidence, abs=1e-2)
    report = classifier.check_export(exported, labels, photographs / "horse", unknown="auto")
    assert report.passed and report.largest_evidence_difference is not None
    assert "evidence by at most" in str(report)


def test_unknown_auto_of_a_batch(
    classifier: unseen.Classifier, tmp_path: Path, photographs: Path
) -> None:
    path = tmp_path / "x.onnx"
    classifier.export(LABELS, path, unseen.ExportOptions(fixed=(70, 90)), unknown="auto")
    small = [Image.fromarray(pixels(photographs, n)).resize((90, 70)) for n in ("cat", "castle")]
    evidence = run(path, np.stack([np.asarray(picture) for picture in small]))["evidence"]
    right = [p.evidence for p in classifier.classify_many(small, LABELS, unknown="auto")]
    assert evidence.tolist() == pytest.approx(right, abs=1e-3)


def test_unknown_auto_is_refused_where_there_is_no_evidence(
    classifier: unseen.Classifier, tmp_path: Path
) -> None:
    from unseen.labels.compiled import Adapted

    path = tmp_path / "x.onnx"
    with pytest.raises(LabelError, match="decides nothing here"):
        classifier.export(["indoor", "outdoor"], path, unknown="auto")
    adapted = replace(classifier.compile(["cat", "dog"]), adapted=Adapted("x"))
    with pytest.raises(LabelError, match="cannot be combined with an adapter"):
        classifier.export(adapted, path, unknown="auto")
    assert not path.exists()


def test_the_file_says_how_good_its_model_is_and_not_where_it_lay(
    classifier: unseen.Classifier, shapes_clip: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.onnx"
    classifier.export(LABELS, path)
    assert "so no zero-shot figure" in onnx_metadata(path)["accuracy"]
    unseen.load(shapes_clip).export(["circle", "square"], path)
    facts = onnx_metadata(path)
    assert facts["model"] == shapes_clip.name
    assert facts["accuracy"] == ""


def test_an_adapter_with_examples(shapes_clip: Path, tmp_path: Path, photographs: Path) -> None:
    """All parts of a set that an adapter changed: rows of any length, a score, a cache."""
    from unseen.labels.compiled import Adapted
    from unseen.labels.example_cache import Cache

    classifier = unseen.load(shapes_clip, exact=True)
    plain = classifier.compile(["red circle", "blue square", "green star"])
    rng = np.random.default_rng(3)
    support = rng.normal(size=(5, plain.matrix.shape[1])).astype(np.float32)
    support /= np.linalg.norm(support, axis=1, keepdims=True)
    cache = Cache(support, np.array([0, 0, 1, 1, 4], dtype=np.int32), 0.3, 5.5)
    labels = replace(plain, matrix=plain.matrix * 1.3, adapted=Adapted("x", cache))
    path = tmp_path / "x.onnx"
    classifier.export(labels, path)
    assert_same(classifier, path, labels, pixels(photographs))


def test_a_student(tmp_path: Path, photographs: Path) -> None:
    pairs = [(p, n) for n in ("cat", "fish") for p in sorted((photographs / n).iterdir())]
    student = tmp_path / "student.onnx"
    unseen.distil(unseen.Teacher("me"), pairs, unseen.DistilOptions(side=128)).save(student)
    classifier = unseen.load(student, exact=True)
    path = tmp_path / "x.onnx"
    exported = classifier.export(None, path)
    assert exported.answers == ("cat", "fish")
    assert_same(classifier, path, None, pixels(photographs), 1e-3)


def test_a_fixed_size_takes_a_batch(
    classifier: unseen.Classifier, shapes_clip: Path, tmp_path: Path, photographs: Path
) -> None:
    path = tmp_path / "x.onnx"
    image = np.asarray(Image.fromarray(pixels(photographs)).resize((90, 70)))
    classifier.export(LABELS, path, unseen.ExportOptions(fixed=(70, 90)))
    batch = np.stack([image, image[::-1]])
    assert run(path, batch)["probabilities"].shape == (2, 4)
    alone = run(path, batch[:1])["probabilities"][0]
    prediction = classifier.classify(Image.fromarray(image), LABELS)
    assert dict(zip(LABELS, alone, strict=True)) == pytest.approx(
        {scored.label: scored.score for scored in prediction.ranking}, abs=1e-5
    )
    shapes = unseen.load(shapes_clip)
    shapes.export(["circle", "square"], path, unseen.ExportOptions(fixed=(64, 64)))
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert "Gather" not in operators  # the size that the net takes: nothing is resized


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_precisions(precision: str, shapes_clip: Path, tmp_path: Path, photographs: Path) -> None:
    classifier = unseen.load(shapes_clip, exact=True, precision=precision)
    path = tmp_path / "x.onnx"
    labels = ["red circle", "blue square"]
    classifier.export(labels, path, unseen.ExportOptions(precision, with_embedding=True))
    for name in ("cat", "castle"):
        image = pixels(photographs, name)
        given = run(path, image)["embedding"]
        right = classifier.encode_images([Image.fromarray(image)])[0]
        assert float(given @ right) >= 0.9999
    whole = tmp_path / "whole.onnx"
    classifier.export(labels, whole)
    assert path.stat().st_size < whole.stat().st_size


def test_a_net_too_large_for_one_file_has_a_second(
    shapes_clip: Path, tmp_path: Path, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_classifier, "LARGEST_INLINE", 1000)
    classifier = unseen.load(shapes_clip, exact=True)
    path = tmp_path / "large.onnx"
    exported = classifier.export(["red circle", "blue square"], path)
    data = tmp_path / "large.onnx.data"
    assert path.stat().st_size + data.stat().st_size == exported.bytes
    assert data.stat().st_size > path.stat().st_size
    assert_same(classifier, path, ["red circle", "blue square"], pixels(photographs))
    assert sorted(tmp_path.iterdir()) == [path, data]


def test_the_file_describes_itself(
    classifier: unseen.Classifier, tmp_path: Path, photographs: Path
) -> None:
    path = tmp_path / "x.onnx"
    classifier.export(LABELS, path)
    facts = onnx_metadata(path)
    assert facts["model"] == "builtin"
    assert facts["fingerprint"] == classifier.model.fingerprint
    assert json.loads(facts["licence"]) == {"name": "Apache-2.0", "commercial": True, "note": ""}
    assert json.loads(facts["labels"]) == LABELS
    assert facts["rule"] == "softmax"
    # The self-test: two tiny pictures, and what the file says of them.
    import base64

    for row in json.loads(facts["golden"]):
        content = np.frombuffer(base64.b64decode(row["image"]), np.uint8)
        outputs = run(path, content.reshape(*row["size"], 3))
        for name in ("probabilities", "cosines"):
            np.testing.assert_allclose(outputs[name], row[name], atol=1e-5)


def test_the_file_is_plain_onnx(classifier: unseen.Classifier, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    classifier.export(LABELS, path)
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert [opset.domain for opset in model.opset_import] == [""]
    assert [i.name for i in model.graph.input] == ["image"]
    assert [o.name for o in model.graph.output] == ["probabilities", "cosines"]


def test_plain_onnx_runtime_has_nothing_to_say(tmp_path: Path, photographs: Path) -> None:
    """A user of a student saw a warning for each parameter that no node reads."""
    pairs = [(p, n) for n in ("cat", "fish") for p in sorted((photographs / n).iterdir())]
    unseen.distil(unseen.Teacher("me"), pairs, unseen.DistilOptions(side=128)).save(
        tmp_path / "student.onnx"
    )
    path = tmp_path / "x.onnx"
    unseen.load(tmp_path / "student.onnx").export(None, path)
    code = f"import onnxruntime; onnxruntime.InferenceSession({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_cannot_be_is_refused(classifier: unseen.Classifier, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="give it that ending"):
        classifier.export(LABELS, tmp_path / "x.pb")
    with pytest.raises(ModelError, match="unknown precision 'fp8'; choose one of"):
        unseen.ExportOptions("fp8")
    with pytest.raises(ModelError, match="at least 1"):
        unseen.ExportOptions(fixed=(0, 5))


def test_an_export_that_fails_leaves_the_old_file(
    classifier: unseen.Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"old")

    def broken(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx_classifier, "golden", broken)
    with pytest.raises(OSError, match="No space"):
        classifier.export(LABELS, path)
    assert path.read_bytes() == b"old"
    assert [*tmp_path.iterdir()] == [path]
