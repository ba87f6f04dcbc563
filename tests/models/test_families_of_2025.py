"""What surrounds a model takes the ViTs of 2025: export, verify, adapt, an index."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hf_newer_checkpoints
import openclip_checkpoints
import openclip_vits
import shapes
import unseen
from unseen.deployment.check import check
from unseen.deployment.classifier_graph import Answering
from unseen.diagnostics.verify import verify
from unseen.runtimes.devices import execution_target

LABELS = ["a red circle", "a blue square", "a green star"]
MAKERS: dict[str, Callable[[Path], Path]] = {
    "pe core": lambda folder: openclip_checkpoints.openclip(
        folder, openclip_vits.PE_CORE["PE-Core-B-16"]
    ),
    "eva02": lambda folder: openclip_checkpoints.openclip(folder, openclip_vits.EVA["EVA02-B-16"]),
    "coca": lambda folder: openclip_checkpoints.openclip(folder, openclip_vits.COCA),
    "metaclip 2": hf_newer_checkpoints.metaclip_2,
    "tips": hf_newer_checkpoints.tips,
    "naflex": hf_newer_checkpoints.naflex,
}


@pytest.fixture(scope="module", params=MAKERS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    return MAKERS[request.param](folder / request.param.replace(" ", "-"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for label in LABELS:
        for seed in range(4):
            path = root / label / f"{seed}.png"
            path.parent.mkdir(exist_ok=True)
            shapes.draw(shapes.scene(label), seed).save(path)
    return root


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_an_export_answers_as_the_library(model: Path, precision: str, tmp_path: Path) -> None:
    classifier = unseen.load(model)
    options = unseen.ExportOptions(precision=precision)
    if model.name == "naflex":  # one graph makes pictures of one shape
        with pytest.raises(unseen.ModelError, match="patches of a picture's own shape"):
            classifier.export(LABELS, tmp_path / "model.onnx", options)
        return
    exported = classifier.export(LABELS, tmp_path / "model.onnx", options)
    answering = Answering(classifier.compile(LABELS))
    result = check(exported, classifier.encoder, answering)
    limit = 1e-3 if precision == "fp32" else 0.3
    assert result.pictures == 2 and result.largest_difference < limit, result


def test_it_is_verified(model: Path) -> None:
    checks = verify(unseen.load(model).model, [execution_target("cpu")])
    assert {check.tower for check in checks} == {"image", "text"}
    assert [check for check in checks if check.precision == "fp32" and not check.ok] == []


def test_an_adapter_learns_and_an_index_is_filled(model: Path, pictures: Path) -> None:
    classifier = unseen.load(model)
    adapter = unseen.adapt(classifier, pictures)
    assert set(adapter.labels) == set(LABELS)
    with unseen.Index(pictures) as index:
        index.update(classifier.encoder)
        matrix = index.view().matrix()
        assert len(matrix) == 12 and np.isfinite(matrix.vectors).all()
