"""Whole networks on torch, here on the processor: right numbers, parameters read once, halves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPModel

import checkpoints
import unseen
from unseen.errors import ModelError
from unseen.models.model import Model
from unseen.networks import vit
from unseen.networks.network import Input, Network, single_output
from unseen.networks.transformer import Blocks
from unseen.runtimes import reference
from unseen.runtimes import torch as runtime
from unseen.runtimes.torch import TorchNetwork

RNG = np.random.default_rng(11)
TEXTS = ["a photo of a cat", "a photo of many small dogs in the snow", "x", ""]
HALVES = [torch.bfloat16, torch.float16]


def smooth(count: int, side: int) -> Any:
    """Pictures with some structure: uint8 (count, side, side, 3)."""
    coarse = RNG.integers(0, 256, (count, 5, 5, 3)).astype(np.float32)
    at = np.linspace(0, 3.99, side)
    low, part = at.astype(int), (at % 1).astype(np.float32)[:, None]
    rows = coarse[:, low] * (1 - part[:, None]) + coarse[:, low + 1] * part[:, None]
    return (rows[:, :, low] * (1 - part) + rows[:, :, low + 1] * part).astype(np.uint8)


def cosines(a: Any, b: Any) -> Any:
    return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))


def inputs(model: Model) -> dict[str, tuple[Network[Any], tuple[Any, ...]]]:
    """Each of the two networks with something to run it on."""
    image = model.image_network()
    pictures = RNG.integers(0, 256, (5, *image.inputs[0].shape[1:]), dtype=np.uint8)
    ids, _ = model.tokenizer.encode(TEXTS, model.context_length)
    return {"image": (image, (pictures,)), "text": (model.text_network(), model.text_inputs(ids))}


@pytest.fixture(scope="module", params=["B32", "odd", "shapes-clip", "builtin"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shapes_clip: Path
) -> Model:
    if request.param == "builtin":
        return unseen.load().model
    if request.param == "shapes-clip":
        return unseen.load(shapes_clip).model
    folder = tmp_path_factory.mktemp("torch") / request.param
    return unseen.load(checkpoints.clip(folder, request.param)).model


@pytest.mark.parametrize("tower", ["image", "text"])
def test_a_whole_network_agrees_with_the_reference(model: Model, tower: str) -> None:
    network, arrays = inputs(model)[tower]
    expected = reference.run(network, *arrays)
    ours = TorchNetwork(network, "cpu")(*arrays)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)
    for dtype in HALVES:
        rows = TorchNetwork(network, "cpu", dtype)(*arrays)
        assert rows.dtype == np.float32
        # The built-in model keeps its ten likeliest classes or so: rounding may swap two of them.
        least = 0.99 if model.family == "builtin" else 0.999
        assert cosines(rows, expected).min() > least, dtype
        if tower == "image":  # the last step, and so the length, is float32 in every type
            np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("dtype", HALVES)
def test_sixteen_bits_cost_no_more_than_they_cost_transformers(
    dtype: torch.dtype, tmp_path: Path
) -> None:
    """Normalisation lies in our first weights, pixels go up to 255; that must not show."""
    folder = checkpoints.clip(tmp_path / "B16", "B16")
    network = unseen.load(folder).model.image_network()
    pictures = smooth(8, 224)
    expected = reference.run(network, pictures)
    processor = json.loads((folder / "preprocessor_config.json").read_text())
    mean, std = (np.float32(processor[key]) for key in ("image_mean", "image_std"))
    pixels = torch.tensor(((pictures / np.float32(255) - mean) / std).transpose(0, 3, 1, 2))
    judge = CLIPModel.from_pretrained(folder, dtype=dtype).eval()
    with torch.no_grad():
        theirs = judge.get_image_features(pixel_values=pixels.to(dtype)).pooler_output.float()
    lost, theirs_lost = (
        float((1 - cosines(rows, expected)).mean())
        for rows in (TorchNetwork(network, "cpu", dtype)(pictures), theirs.numpy())
    )
    assert lost < 1.3 * theirs_lost


class Counted(Mapping[str, Any]):
    """Parameters that count how often each is read."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters
        self.reads: Counter[str] = Counter()

    def __getitem__(self, name: str) -> Any:
        self.reads[name] += 1
        return self._parameters[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __contains__(self, name: object) -> bool:
        return name in self._parameters


def small_vit() -> tuple[Network[Any], Counted]:
    """A network without a checkpoint: one layer, 8 wide, pictures of 8 pixels in patches of 4."""
    shapes: dict[str, tuple[int, ...]] = {
        "patch.weight": (8, 3, 4, 4),
        "positions": (5, 8),
        "class_token": (8,),
        **{f"layers.0.{n}.weight": (8, 8) for n in ("query", "key", "value", "out")},
        **{f"layers.0.norm{n}.{part}": (8,) for n in (1, 2) for part in ("weight", "bias")},
        "layers.0.mlp1.weight": (16, 8),
        "layers.0.mlp2.weight": (8, 16),
        "projection.weight": (6, 8),
    }
    rng = np.random.default_rng(3)
    parameters = Counted({k: rng.standard_normal(v).astype(np.float32) for k, v in shapes.items()})
    blocks = Blocks(layers=1, heads=2, activation="quick_gelu", epsilon=1e-5)
    third = (1 / 255,) * 3
    config = vit.VisionConfig((8, 8), 4, 8, blocks, 6, scale=third, shift=(-0.5,) * 3)
    return vit.network(config, parameters), parameters


def eight_pictures() -> Any:
    return np.random.default_rng(4).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)


def test_parameters_are_read_once() -> None:
    network, parameters = small_vit()
    ours = TorchNetwork(network, "cpu")
    assert set(parameters.reads.values()) == {1}
    before = Counter(parameters.reads)
    first, second = ours(eight_pictures()), ours(eight_pictures())
    np.testing.assert_array_equal(first, second)
    assert parameters.reads == before


def test_parameters_are_copied_and_may_be_read_only() -> None:
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    table.flags.writeable = False
    network = single_output(
        "case",
        (Input("ids", "int64", (None,)),),
        lambda ops, _, ids: ops.embedding(table, ids),
        (None, 4),
    )
    ids = np.array([2, 0])
    ids.flags.writeable = False
    ours = TorchNetwork(network, "cpu")
    table.flags.writeable = True
    expected = table[ids].copy()
    table[:] = 0
    np.testing.assert_array_equal(ours(ids), expected)


def test_values_are_let_go_after_their_last_use() -> None:
    network, _ = small_vit()
    ours = TorchNetwork(network, "cpu")
    values = set(range(len(network.inputs) + len(ours._steps)))
    released = [i for last in ours._last for i in last]
    assert sorted(released) == sorted(values - set(ours._outputs.values()))


def test_no_rows_are_no_rows() -> None:
    assert TorchNetwork(small_vit()[0], "cpu")(eight_pictures()[:0]).shape == (0, 6)


def test_inputs_are_counted() -> None:
    with pytest.raises(ValueError, match="2 inputs to a network of 1"):
        TorchNetwork(small_vit()[0], "cpu")(eight_pictures(), eight_pictures())


def test_several_threads_get_their_own_rows() -> None:
    network, _ = small_vit()
    ours = TorchNetwork(network, "cpu")
    pictures = eight_pictures()
    expected = ours(pictures)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda i: ours(pictures[i % 8 : i % 8 + 1])[0], range(64)))
    np.testing.assert_allclose(rows, np.tile(expected, (8, 1)), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
@pytest.mark.parametrize("causal", [False, True])
def test_a_query_that_sees_no_key_takes_the_mean(causal: bool, dtype: torch.dtype) -> None:
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 1]])
    rng = np.random.default_rng(8)  # of its own: the order of tests must not change the numbers
    tables = [rng.standard_normal((3, 32)).astype(np.float32) * 5 for _ in range(3)]

    def body(ops: Any, _: Any, ids: Any, mask: Any) -> Any:
        q, k, v = (ops.reshape(ops.embedding(table, ids), (0, 4, 8)) for table in tables)
        return ops.attention(q, k, v, 2, causal=causal, mask=mask)

    two = (Input("ids", "int64", (None,)), Input("mask", "int64", (None, 4)))
    network = single_output("case", two, body, (None, 4, 8))
    ours = TorchNetwork(network, "cpu", dtype)(np.arange(3), mask)
    assert np.isfinite(ours).all()
    mean = tables[2].reshape(3, 4, 8).mean(1)[1]
    atol = 2e-6 if dtype == torch.float32 else 0.1
    np.testing.assert_allclose(ours[1], np.tile(mean, (4, 1)), atol=atol)
    if not causal:  # with both, the reference differs where a query is blind in part of a row
        expected = reference.run(network, np.arange(3), mask)
        np.testing.assert_allclose(ours, expected, atol=atol)


class SmallDevice(TorchNetwork):
    """Has memory for `limit` rows at a time; notes the size of each attempt."""

    limit = 3

    def _replay(self, *arrays: Any) -> Any:
        self.attempts = [*getattr(self, "attempts", []), len(arrays[0])]
        if len(arrays[0]) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return super()._replay(*arrays)


def test_a_batch_that_does_not_fit_is_run_in_parts_and_the_size_is_kept() -> None:
    network, _ = small_vit()
    pictures = eight_pictures()
    expected = TorchNetwork(network, "cpu")(pictures)
    ours = SmallDevice(network, "cpu")
    np.testing.assert_allclose(ours(pictures), expected, rtol=0, atol=1e-6)
    assert ours.attempts == [8, 4, 2, 2, 2, 2]
    ours.attempts = []
    np.testing.assert_allclose(ours(pictures[:5]), expected[:5], rtol=0, atol=1e-6)
    assert ours.attempts == [2, 2, 1]


def test_every_input_is_cut(tmp_path: Path) -> None:
    network, arrays = inputs(unseen.load(checkpoints.clip(tmp_path / "cut")).model)["text"]
    ours = SmallDevice(network, "cpu")
    expected = TorchNetwork(network, "cpu")(*arrays)
    np.testing.assert_allclose(ours(*arrays), expected, rtol=0, atol=1e-6)
    assert ours.attempts == [4, 2, 2]


def test_a_device_too_small_for_one_says_so() -> None:
    ours = SmallDevice(small_vit()[0], "cpu")
    ours.limit = 0
    with pytest.raises(ModelError, match=r'image network.*device="cpu".*Tried to allocate'):
        ours(eight_pictures())
    assert ours.attempts == [8, 4, 2, 1]


def test_weights_that_do_not_fit_say_so() -> None:
    def body(ops: Any, _: Any, ids: Any) -> Any:
        raise RuntimeError("MPS backend out of memory (MPS allocated: 5.00 GB)")

    network = single_output("text", (Input("ids", "int64", (None,)),), body, (None, 4))
    with pytest.raises(ModelError, match="weights of the text network do not fit"):
        TorchNetwork(network, "cpu")


def test_other_errors_stay_what_they_are() -> None:
    network, _ = small_vit()
    with pytest.raises(RuntimeError, match="permute"):
        TorchNetwork(network, "cpu")(np.zeros((2, 8), np.uint8))


Patch = pytest.MonkeyPatch


def test_auto_takes_the_gpu_there_is(monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert runtime.device_for("auto") == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert runtime.device_for("auto") == "mps"
    assert runtime.device_for("mps") == "mps"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert runtime.device_for("auto") is None
    assert runtime.device_for("cpu") is None


def test_a_device_that_is_not_here_is_an_error_that_helps(monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r'device="mps".*Apple.*device="cpu"'):
        runtime.device_for("mps")
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    with pytest.raises(ModelError, match=r"'cuda'.*built without CUDA.*pytorch.org"):
        runtime.device_for("cuda")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ModelError, match=r"'cuda:1'.*no CUDA device here.*nvidia-smi"):
        runtime.device_for("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert runtime.device_for("cuda") == "cuda"
    assert runtime.device_for("cuda:0") == "cuda:0"
    assert runtime.device_for("cuda:00") == "cuda:0"
    with pytest.raises(ModelError, match=r"'cuda:1'.*torch finds 1"):
        runtime.device_for("cuda:1")


@pytest.mark.parametrize("device", ["gpu", "", "cuda:", "cuda:x", "cuda:-1", "mps:1", "Auto"])
def test_an_unknown_device_is_an_error_with_those_there_are(device: str) -> None:
    with pytest.raises(ModelError, match='"auto", "cpu", "cuda"'):
        runtime.device_for(device)


def test_types_follow_the_device(monkeypatch: Patch) -> None:
    assert runtime.default_dtype("cpu") == torch.float32
    assert runtime.default_dtype("mps") == torch.float16
    for capability, dtype in (((9, 0), torch.bfloat16), ((7, 5), torch.float16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert runtime.default_dtype("cuda:0") == dtype


def test_without_torch_the_door_says_how_to_get_it() -> None:
    code = """
import sys
sys.modules["torch"] = None
try:
    import unseen.runtimes.torch
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("ModelError")
    assert 'pip install "unseen[gpu]"' in done.stdout
