"""What surrounds a model takes the families of 2025: export, int8, verify, adapt, an index, the
server, explanations and torch; or says in one line why it does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import hf_newer_checkpoints
import judging
import openclip_checkpoints
import openclip_vits
import shapes
import unseen
from asking import ask, b64, png
from serving import serving
from unseen.deployment.check import check
from unseen.deployment.classifier_graph import Answering
from unseen.diagnostics.verify import verify
from unseen.runtimes import reference
from unseen.runtimes.devices import execution_target
from unseen.runtimes.torch import TorchNetwork
from unseen.web.server.core.settings import Settings

LABELS = ["a red circle", "a blue square", "a green star"]


def _open_clip(kind: str | openclip_vits.Config, folder: Path) -> Path:
    return openclip_checkpoints.openclip(folder, kind)


OPEN_CLIP = {
    "pe core": openclip_vits.PE_CORE["PE-Core-B-16"],
    "eva02": openclip_vits.EVA["EVA02-B-16"],
    "eva02 post norm": openclip_vits.EVA["EVA02-E-14"],
    "coca": openclip_vits.COCA,
    "convnext": "convnext, mlp",
    "mobileclip": "mobileclip",
    "mobileclip-b": "mobileclip-b",
    "vitamin": "vitamin",
}
MAKERS: dict[str, Callable[[Path], Path]] = {
    **{name: partial(_open_clip, kind) for name, kind in OPEN_CLIP.items()},
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
    checks = list(verify(unseen.load(model).model, [execution_target("cpu")]))
    assert {check.tower for check in checks} == {"image", "text"}
    assert [check for check in checks if check.precision == "fp32" and not check.ok] == []
    assert any(check.precision == "int8" and check.cosine > 0.9 for check in checks)


def test_it_is_explained_or_says_why_not(model: Path) -> None:
    classifier = unseen.load(model)
    if model.name == "naflex":
        with pytest.raises(unseen.ModelError) as error:
            classifier.explain(judging.pictures()[0], LABELS, method="parts")
        assert "keep their shape" in str(error.value) and "\n" not in str(error.value)
        return
    explanation = classifier.explain(judging.pictures()[0], LABELS, method="parts")
    assert explanation.map is not None and np.isfinite(explanation.map).all()
    assert explanation.without is not None and explanation.only is not None


def test_torch_computes_it(model: Path) -> None:
    loaded = unseen.load(model).model
    picture = loaded.preprocess(judging.pictures()[0])
    ids, _ = loaded.tokenizer.encode(LABELS, loaded.context_length)
    for network, arrays in (
        (loaded.image_network(), loaded.image_inputs([picture])),
        (loaded.text_network(), loaded.text_inputs(ids)),
    ):
        expected = reference.run(network, *arrays)
        np.testing.assert_allclose(TorchNetwork(network, "cpu")(*arrays), expected, atol=1e-4)


def test_it_is_served(model: Path, tmp_path: Path) -> None:
    settings = Settings(unseen.LoadOptions(str(model)), label_store=tmp_path / "labels.sqlite")
    with serving(settings) as served:
        body = {"image": b64(LABELS[0]), "labels": LABELS}
        status, answer, _ = ask(f"{served.url}/v1/classify", body)
    assert status == 200, answer
    (prediction,) = answer["predictions"]
    own = unseen.load(model).classify(png(LABELS[0]), LABELS)
    scores = {row["label"]: row["score"] for row in prediction["ranking"]}
    assert scores == pytest.approx({s.label: s.score for s in own.ranking}, abs=1e-4)
