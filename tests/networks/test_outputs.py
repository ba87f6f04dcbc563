"""Named outputs of any shape, in every runtime: right numbers, and nothing computed in vain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx as library
import pytest
import torch
from safetensors.numpy import load_file
from transformers import CLIPModel

import checkpoints
import hf_checkpoints
import openclip_checkpoints
import unseen
from unseen.errors import ModelError
from unseen.models.compiled import ARCHITECTURE_VERSION, CompiledNetwork
from unseen.models.reference_outputs import ReferenceOutputs, tower
from unseen.networks.network import Input, Network, Output, single_output
from unseen.runtimes import graph, onnx, reference
from unseen.runtimes.devices import ExecutionTarget, execution_target
from unseen.runtimes.torch import TorchNetwork

RNG = np.random.default_rng(5)
TABLE = RNG.standard_normal((6, 24)).astype(np.float32)
WEIGHT = RNG.standard_normal((12, 3)).astype(np.float32)
IDS = np.arange(6)


def two_halves() -> Network[Any]:
    """`rows` (n, 24), `tokens` (n, 2, 12) and `sums` (n, 2, 3), which is made of `tokens`."""

    def body(ops: Any, p: Any, requested: frozenset[str], ids: Any) -> dict[str, Any]:
        rows = ops.embedding(p["table"], ids)
        values = {"rows": rows}
        if requested & {"tokens", "sums"}:
            values["tokens"] = ops.reshape(rows, (-1, 2, 12))
        if "sums" in requested:
            values["sums"] = ops.linear(values["tokens"], p["weight"].T)
        return values

    outputs = (Output("rows", (None, 24)), Output("tokens", (None, 2, 12)))
    outputs += (Output("sums", (None, None, 3)),)
    parameters = {"table": TABLE, "weight": WEIGHT}
    return Network("halves", (Input("ids", "int64", (None,)),), outputs, body, parameters)


EXPECTED = {
    "rows": TABLE,
    "tokens": TABLE.reshape(6, 2, 12),
    "sums": TABLE.reshape(6, 2, 12) @ WEIGHT,
}


@pytest.mark.parametrize(
    "names", [["rows"], ["sums"], ["sums", "rows"], ["tokens", "sums", "rows"], None]
)
def test_every_runtime_gives_what_is_requested_in_that_order(
    names: list[str] | None, tmp_path: Path
) -> None:
    network = two_halves()
    path = onnx.compile_network(network, tmp_path, outputs=names)
    requested = ["rows"] if names is None else names
    runs = {
        "reference": reference.run_outputs(network, IDS, outputs=names),
        "onnx": onnx.OnnxNetwork(path, outputs=requested).run(IDS),
        "torch": TorchNetwork(network, "cpu", outputs=names).run(IDS),
    }
    for runtime, outputs in runs.items():
        assert list(outputs) == requested, runtime
        for name, output in outputs.items():
            assert output.dtype == np.float32
            np.testing.assert_allclose(output, EXPECTED[name], atol=1e-5, err_msg=runtime)
    declared = {
        o.name: [d.dim_value or d.dim_param for d in o.type.tensor_type.shape.dim]
        for o in library.load(path).graph.output
    }
    sizes = {"rows": ["n", 24], "tokens": ["n", 2, 12], "sums": ["n", "sums_1", 3]}
    assert list(declared.values()) == [sizes[name] for name in requested]


def test_a_call_gives_the_first_output(tmp_path: Path) -> None:
    network = two_halves()
    np.testing.assert_array_equal(reference.run(network, IDS), TABLE)
    path = onnx.compile_network(network, tmp_path, outputs=["sums", "rows"])
    np.testing.assert_allclose(onnx.OnnxNetwork(path)(IDS), EXPECTED["sums"], atol=1e-5)
    ours = TorchNetwork(network, "cpu", outputs=["sums", "rows"])
    np.testing.assert_allclose(ours(IDS), EXPECTED["sums"], atol=1e-5)
    assert {n: a.shape for n, a in ours.run(IDS[:0]).items()} == {
        "sums": (0, 0, 3),
        "rows": (0, 24),
    }


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["rows", "heads"], "no output 'heads'; choose from: rows, tokens, sums"),
        (["rows", "rows"], "different"),
        ([], "give one name"),
    ],
)
def test_other_names_are_refused(names: list[str], complaint: str, tmp_path: Path) -> None:
    for run in (
        lambda: reference.run_outputs(two_halves(), IDS, outputs=names),
        lambda: onnx.compile_network(two_halves(), tmp_path, outputs=names),
        lambda: TorchNetwork(two_halves(), "cpu", outputs=names),
    ):
        with pytest.raises(ValueError, match=complaint):
            run()


def test_one_value_may_be_two_outputs(tmp_path: Path) -> None:
    def body(ops: Any, p: Any, requested: frozenset[str], ids: Any) -> dict[str, Any]:
        rows = ops.embedding(TABLE, ids)
        return {"a": rows, "b": rows}

    outputs = (Output("a", (None, 24)), Output("b", (None, 24)))
    network: Network[Any] = Network("n", (Input("ids", "int64", (None,)),), outputs, body)
    session = onnx.OnnxNetwork(onnx.compile_network(network, tmp_path, outputs=["a", "b"]))
    for rows in (*session.run(IDS).values(), *TorchNetwork(network, "cpu").run(IDS).values()):
        np.testing.assert_array_equal(rows, TABLE)


def test_a_batch_in_parts_joins_every_output(tmp_path: Path) -> None:
    names = ["sums", "rows"]
    session = onnx.OnnxNetwork(
        onnx.compile_network(two_halves(), tmp_path, outputs=names), outputs=names
    )
    inner = session._session

    class Small:
        def run(self, outputs: None, feed: dict[str, Any]) -> Any:
            if len(feed["ids"]) > 2:
                raise RuntimeError("Failed to allocate memory for requested buffer of size 9")
            return inner.run(outputs, feed)

    session._session = Small()
    for name, output in session.run(IDS).items():
        np.testing.assert_allclose(output, EXPECTED[name], atol=1e-5)


def dead(model: Any) -> set[str]:
    """Values of an ONNX graph that no output needs; numbers that are no parameters do not count."""
    needed = {o.name for o in model.graph.output}
    for node in reversed(model.graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
    values = {name for node in model.graph.node for name in node.output[:1]}
    return (values | {i.name for i in model.graph.initializer if i.dims}) - needed


@pytest.fixture(scope="module", params=["clip", "siglip", "align", "resnet", "chinese", "builtin"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    makers = {
        "clip": lambda folder: checkpoints.clip(folder, "odd"),
        "siglip": hf_checkpoints.siglip,
        "align": hf_checkpoints.align,
        "resnet": lambda folder: openclip_checkpoints.openclip(folder, "resnet"),
        "chinese": hf_checkpoints.chinese_clip,
        "builtin": lambda folder: "builtin",
    }
    folder = tmp_path_factory.mktemp("outputs") / request.param
    return unseen.load(makers[request.param](folder)).model


@pytest.mark.parametrize("side", ["image", "text"])
@pytest.mark.parametrize("names", [["embedding"], ["features"], ["features", "embedding"]])
def test_towers_give_features_and_embedding_and_compute_nothing_in_vain(
    model: Any, side: str, names: list[str], tmp_path: Path
) -> None:
    source = tower(model, side)
    network = source.make()
    if names != ["embedding"] and len(network.outputs) == 1:
        pytest.skip("the built-in text network has an embedding alone")
    path = onnx.compile_network(network, tmp_path, outputs=names)
    assert not dead(library.load(path, load_external_data=False))
    inputs = source.examples()
    right = reference.run_outputs(network, *inputs, outputs=names)
    for name, output in onnx.OnnxNetwork(path, outputs=names).run(*inputs).items():
        shape = next(o.shape for o in network.outputs if o.name == name)
        assert output.ndim == len(shape)
        assert all(size in (None, have) for size, have in zip(shape, output.shape, strict=True))
        scale = np.abs(right[name]).max()
        np.testing.assert_allclose(output / scale, right[name] / scale, rtol=0, atol=1e-4)


def test_features_of_a_clip_are_what_transformers_pools(tmp_path: Path) -> None:
    folder = checkpoints.clip(tmp_path / "clip", "odd")
    network = unseen.load(folder).model.image_network()
    shape = network.inputs[0].shape[1:]
    pictures = RNG.integers(0, 256, (3, *shape), dtype=np.uint8)
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    mean, std = (np.float32(processor[key]) for key in ("image_mean", "image_std"))
    pixels = torch.tensor(((pictures / np.float32(255) - mean) / std).transpose(0, 3, 1, 2))
    with torch.no_grad():
        judged = CLIPModel.from_pretrained(folder).vision_model(pixel_values=pixels).pooler_output
    ours = reference.run_outputs(network, pictures, outputs=["features", "embedding"])
    np.testing.assert_allclose(ours["features"], judged.numpy(), rtol=0, atol=2e-5)
    weight = load_file(folder / "model.safetensors")["visual_projection.weight"]
    projected = ours["features"] @ weight.T
    projected /= np.linalg.norm(projected, axis=1, keepdims=True)
    np.testing.assert_allclose(ours["embedding"], projected, rtol=0, atol=1e-6)


def cpu() -> ExecutionTarget:
    return execution_target("cpu")


def test_outputs_are_compiled_and_checked_apart(tmp_path: Path, fresh_home: Path) -> None:
    source = tower(unseen.load(checkpoints.clip(tmp_path / "clip")).model, "image")
    inputs = source.examples()
    right = reference.run_outputs(source.make(), *inputs, outputs=["features", "embedding"])
    for names in (("embedding",), ("features",), ("features", "embedding")):
        outputs = CompiledNetwork(source, find_target=cpu, outputs=names).run(*inputs)
        assert tuple(outputs) == names
        for name, output in outputs.items():
            np.testing.assert_allclose(output, right[name], rtol=0, atol=1e-4)
    folders = {p.parent.name for p in (fresh_home / "networks").glob("*/image.onnx")}
    ends = ("", "-features", "-features+embedding")
    assert folders == {f"{source.key}{end}-fp32-v{ARCHITECTURE_VERSION}" for end in ends}
    assert len(list((fresh_home / "networks").glob("*/check.json"))) == 3


def test_wrong_features_are_refused_whatever_their_length(
    tmp_path: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features are not of length 1: their check must not take length for likeness."""
    emit = graph.OnnxOperations.emit

    def wrong(self: graph.OnnxOperations, operator: str, *inputs: str, **kw: object) -> str:
        return emit(self, "Tanh" if operator == "Sigmoid" else operator, *inputs, **kw)

    monkeypatch.setattr(graph.OnnxOperations, "emit", wrong)
    source = tower(unseen.load(checkpoints.clip(tmp_path / "clip")).model, "image")
    network = CompiledNetwork(source, find_target=cpu, outputs=("features",))
    with pytest.raises(ModelError, match=r"at least 0\.9999 is required"):
        network.run(*source.examples())


def test_the_check_takes_the_worst_output_of_any_shape() -> None:
    right = (np.array([[3.0, 0.0], [0.0, 2.0]]), np.ones((2, 2, 3)))
    judge = ReferenceOutputs((), right, ())
    assert judge.cosine([right[0] * 7, right[1]]) == pytest.approx(1)
    other = right[1].copy()
    other[1, 0] = -1
    assert judge.cosine([right[0], other]) == pytest.approx(0)
    assert judge.cosine([right[0], other * np.nan]) == -1


def test_single_output_names_its_output() -> None:
    network = single_output(
        "n", (Input("ids", "int64", (None,)),), lambda ops, p, ids: ids, (None,), output="ids"
    )
    assert network.outputs == (Output("ids", (None,)),)
