"""Exported files in runtimes that are not ours: Node with ONNX Runtime Web, and OpenVINO."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import checkpoints
import unseen
from environments import node_with

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "export.md"
LABELS = ["cat", "dog", "castle", "fish"]
NODE = """
import fs from "node:fs";
import * as ort from "./ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmBinary = fs.readFileSync("ort-wasm-simd-threaded.wasm");
const [model, pixels, height, width] = process.argv.slice(2);
const session = await ort.InferenceSession.create(fs.readFileSync(model));
const bytes = new Uint8Array(fs.readFileSync(pixels));
const image = new ort.Tensor("uint8", bytes, [+height, +width, 3]);
const outputs = await session.run({ image });
const plain = Object.entries(outputs).map(([name, { data }]) => [name, [...data]]);
console.log(JSON.stringify(Object.fromEntries(plain)));
"""


@pytest.fixture(scope="module")
def node(runtime: Path) -> Path:
    """A folder with a script for Node; skips where there is none."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    (runtime / "run.mjs").write_text(NODE)
    return runtime


def pixels(photographs: Path, name: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(sorted((photographs / name).iterdir())[0]).convert("RGB"))


def in_node(node: Path, path: Path, image: NDArray[np.uint8]) -> dict[str, Any]:
    """The outputs of a file by ONNX Runtime Web."""
    raw = path.with_suffix(".pixels")
    raw.write_bytes(image.tobytes())
    command = ["node", "run.mjs", str(path), str(raw), *map(str, image.shape[:2])]
    done = subprocess.run(command, cwd=node, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    outputs: dict[str, Any] = json.loads(done.stdout)
    return outputs


def assert_close(outputs: dict[str, Any], right: dict[str, list[float]]) -> None:
    for name, tolerance in (("probabilities", 1e-3), ("cosines", 1e-4), ("evidence", 1e-2)):
        given = np.ravel(outputs[name])
        np.testing.assert_allclose(given, right[name], atol=tolerance, err_msg=name)


def of_library(classifier: unseen.Classifier, image: NDArray[np.uint8]) -> dict[str, list[float]]:
    prediction = classifier.classify(Image.fromarray(image), LABELS, unknown="auto")
    scored = {s.label: s for s in prediction.ranking}
    assert prediction.evidence is not None
    return {
        "probabilities": [scored[label].score for label in LABELS],
        "cosines": [scored[label].cosine for label in LABELS],
        "evidence": [prediction.evidence],
    }


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_node(node: Path, tmp_path: Path, photographs: Path, precision: str) -> None:
    """The same file, without Python: by the WebAssembly that browsers run."""
    computed = precision if precision == "int8" else "fp32"
    classifier = unseen.load(exact=True, precision=computed)
    path = tmp_path / "x.onnx"
    classifier.export(LABELS, path, unseen.ExportOptions(precision), unknown="auto")
    image = pixels(photographs, "cat")
    outputs = in_node(node, path, image)
    right = of_library(classifier, image)
    if precision == "fp32":
        assert_close(outputs, right)
    assert np.argmax(outputs["probabilities"]) == np.argmax(right["probabilities"])


def test_int8_is_the_same_in_webassembly(node: Path, tmp_path: Path, photographs: Path) -> None:
    """Every value is rounded to the same whole number; one that was not would move the vector by
    more than a thousand times what is allowed here."""
    folder = checkpoints.clip(tmp_path / "clip", "B32", width=192, heads=3)
    classifier = unseen.load(folder, exact=True, precision="int8")
    path = tmp_path / "x.onnx"
    classifier.export(LABELS, path, unseen.ExportOptions("int8", with_embedding=True))
    for name in ("cat", "castle"):
        image = pixels(photographs, name)
        right = classifier.encode_images([Image.fromarray(image)])[0]
        np.testing.assert_allclose(in_node(node, path, image)["embedding"], right, atol=1e-6)


@pytest.mark.filterwarnings("ignore")
class TestOpenVino:
    """From PyPI; `pip install openvino` brings it."""

    @pytest.mark.parametrize("precision", ["fp32", "fp16"])
    def test_pictures_of_any_size(
        self, classifier: unseen.Classifier, tmp_path: Path, photographs: Path, precision: str
    ) -> None:
        openvino = pytest.importorskip("openvino", reason="openvino is not installed")
        path = tmp_path / "x.onnx"
        classifier.export(LABELS, path, unseen.ExportOptions(precision), unknown="auto")
        compiled = openvino.Core().compile_model(
            str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        for name in ("cat", "castle"):
            image = pixels(photographs, name)
            result = compiled([image])
            outputs = {name: result[name] for name in ("probabilities", "cosines", "evidence")}
            right = of_library(classifier, image)
            if precision == "fp32":
                assert_close(outputs, right)
            assert np.argmax(outputs["probabilities"]) == np.argmax(right["probabilities"])

    def test_a_fixed_size(self, shapes_clip: Path, tmp_path: Path, photographs: Path) -> None:
        openvino = pytest.importorskip("openvino", reason="openvino is not installed")
        classifier = unseen.load(shapes_clip, exact=True)
        for height, width in ((64, 64), (90, 120)):
            path = tmp_path / f"{height}.onnx"
            labels = ["red circle", "blue square"]
            classifier.export(labels, path, unseen.ExportOptions(fixed=(height, width)))
            compiled = openvino.Core().compile_model(
                str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
            )
            picture = Image.fromarray(pixels(photographs, "cat")).resize((width, height))
            result = compiled([np.asarray(picture)[None]])
            prediction = classifier.classify(picture, labels)
            right = [{s.label: s.score for s in prediction.ranking}[label] for label in labels]
            np.testing.assert_allclose(result["probabilities"].ravel(), right, atol=1e-3)


def script_of_the_docs(name: str) -> str:
    """The block of the page whose first line names this file."""
    blocks = re.findall(r"^```text\n(.*?)^```", DOCS.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (script,) = [block for block in blocks if name in block.partition("\n")[0]]
    return script


@pytest.fixture(scope="module")
def animals(classifier: unseen.Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("docs") / "animals.onnx"
    classifier.export(["cat", "dog", "castle"], path)
    return path


@pytest.mark.network
def test_the_node_script_of_the_docs(animals: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXRUNTIME_NODE_INSTALL", "skip")  # of a graphics card's libraries
    folder = node_with("ship-it", "onnxruntime-node", "sharp")
    (folder / "classify.mjs").write_text(script_of_the_docs("classify.mjs"))
    picture = ROOT / "examples" / "dog.jpg"
    command = ["node", "classify.mjs", str(animals), str(picture)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    given = dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())
    assert max(given, key=lambda label: float(given[label])) == "dog"
    right = unseen.load(exact=True).classify(picture, list(given))
    for scored in right.ranking:
        assert float(given[scored.label]) == pytest.approx(scored.score, abs=2e-3)


def test_the_edge_script_of_the_docs(animals: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    file = tmp_path / "edge.py"
    file.write_text(script_of_the_docs("edge.py"))
    picture = ROOT / "examples" / "dog.jpg"
    command = [sys.executable, str(file), str(animals), str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    values = [float(value) for value in re.findall(r"[\d.]+(?:e[+-]?\d+)?", done.stdout)]
    assert np.argmax(values) == 1
