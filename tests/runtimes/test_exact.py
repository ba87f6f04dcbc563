"""int8's floats: near what they stand for, and the same bits however a runtime computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from unseen.models.reference_outputs import RangeOperations
from unseen.networks.network import Input, Network, single_output
from unseen.runtimes import exact, int8, reference
from unseen.runtimes.onnx import compile_network

RNG = np.random.default_rng(3)
ITEMS, TOKENS, WIDTH = 3, 40, 128
TABLE = (RNG.standard_normal((ITEMS, TOKENS * WIDTH)) * RNG.lognormal(size=TOKENS * WIDTH)).astype(
    np.float32
)
IDS = np.arange(ITEMS)[:, None]
WEIGHT = (RNG.standard_normal((3 * WIDTH, WIDTH)) / 11).astype(np.float32)
BACK = (RNG.standard_normal((WIDTH, 3 * WIDTH)) / 19).astype(np.float32)
BIAS = RNG.standard_normal(3 * WIDTH).astype(np.float32)
GAIN, SHIFT = (RNG.standard_normal(WIDTH).astype(np.float32) for _ in range(2))
MASK = np.arange(TOKENS) < np.array([[TOKENS], [5], [17]])


def tokens(ops: Any, ids: Any) -> Any:
    return ops.reshape(ops.embedding(TABLE, ids), (-1, TOKENS, WIDTH))


def normed(ops: Any, ids: Any) -> Any:
    return ops.layer_norm(tokens(ops, ids), GAIN, SHIFT, 1e-5)


def linear_of_a_norm(ops: Any, ids: Any) -> Any:
    return ops.linear(normed(ops, ids), WEIGHT, BIAS)


def mlp(name: str, ops: Any, ids: Any) -> Any:
    return ops.linear(ops.activation(linear_of_a_norm(ops, ids), name), BACK)


def attention(ops: Any, ids: Any, **how: Any) -> Any:
    x = linear_of_a_norm(ops, ids)
    q, k, v = (ops.slice(x, 2, i * WIDTH, (i + 1) * WIDTH) for i in range(3))
    return ops.attention(q, k, v, 4, **how)


def masked_attention(ops: Any, ids: Any) -> Any:
    mask = ops.slice(ops.constant(MASK.astype(np.int64)), 0, 0, ITEMS)
    return attention(ops, ids, mask=mask)


def network(body: Callable[..., Any], shape: tuple[int | None, ...]) -> Network[Any]:
    return single_output(
        "net", (Input("ids", "int64", (None, 1)),), lambda ops, _, ids: body(ops, ids), shape
    )


def outputs(
    network: Network[Any], folder: Path, *inputs: Any, bits: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """In int8 by ONNX Runtime, and what is right."""
    ranges = RangeOperations()
    network.apply(ranges, *inputs)
    recorder = partial(int8.Int8Operations, ranges=ranges.ranges, bits=bits)
    path = compile_network(network, folder, recorder)
    results = []
    for level in ("ORT_ENABLE_ALL", "ORT_DISABLE_ALL"):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
        session = onnxruntime.InferenceSession(str(path), options)
        names = [i.name for i in session.get_inputs()]
        results.append(session.run(None, dict(zip(names, inputs, strict=True)))[0])
    np.testing.assert_array_equal(*results)
    return results[0], reference.run(network, *inputs)


def spread(differences: np.ndarray, right: np.ndarray) -> float:
    return float(np.sqrt((differences**2).mean() / right.var()))


@pytest.mark.parametrize(
    ("body", "width", "bound"),
    [
        pytest.param(linear_of_a_norm, 3 * WIDTH, 0.012, id="a norm and a layer"),
        *[
            pytest.param(partial(mlp, name), WIDTH, 0.016, id=name)
            for name in ("quick_gelu", "silu", "gelu", "gelu_tanh")
        ],
        pytest.param(attention, WIDTH, 0.02, id="attention"),
        pytest.param(partial(attention, causal=True), WIDTH, 0.02, id="causal"),
        pytest.param(masked_attention, WIDTH, 0.02, id="masked"),
    ],
)
def test_near_and_the_same_bits(
    body: Callable[..., Any], width: int, bound: float, tmp_path: Path
) -> None:
    ours, right = outputs(network(body, (None, TOKENS, width)), tmp_path, IDS)
    assert 0 < spread(ours - right, right) < bound


def test_squares_of_pixels(tmp_path: Path) -> None:
    """Rounding the weights alone is no more than this far off, as neighbouring pixels are alike."""
    kernel = (RNG.standard_normal((24, 3, 8, 8)) / 200).astype(np.float32)
    offset = RNG.standard_normal(24).astype(np.float32)

    def body(kernel: Any, ops: Any, images: Any) -> Any:
        x = ops.reshape(ops.conv(ops.pixels(images), kernel, offset, stride=8), (0, 24, -1))
        return ops.linear(x, np.eye(24, dtype=np.float32))

    pictures = Input("images", "uint8", (None, 32, 48, 3))
    slopes = RNG.standard_normal((2, 32, 48, 3)).cumsum(1).cumsum(2)
    images = (120 + 100 * slopes / np.abs(slopes).max()).astype(np.uint8)
    net = single_output("net", (pictures,), lambda ops, _, x: body(kernel, ops, x), (None, 24, 24))
    ours, right = outputs(net, tmp_path, images)
    written = onnx.load(tmp_path / "net.onnx", load_external_data=False)
    assert "Conv" not in {node.op_type for node in written.graph.node}
    step = np.abs(kernel).max((1, 2, 3), keepdims=True) / 127
    plain = reference.NumpyOperations()
    each_alone = body(np.round(kernel / step) * step, plain, images)
    assert 0 < spread(ours - right, right) < 0.25 * spread(each_alone - right, right)


@pytest.mark.parametrize("name", exact.CURVES)
def test_curves_are_near_their_functions(name: str) -> None:
    x = np.linspace(-30, 30, 20_001).astype(np.float32)
    right = reference.NumpyOperations().activation(x, name)
    ours = exact.CURVES[name](x)
    assert np.abs(ours - right).max() < (6.2e-3 if name == "silu" else 4.3e-3)
    assert ours.min() >= exact.CURVES[name].least
    far = np.array([-3e4, 3e4], dtype=np.float32)  # powers of it are finite all the same
    np.testing.assert_allclose(exact.CURVES[name](far), [0, 3e4], atol=1e-2)


def test_nothing_is_written_that_no_output_needs(tmp_path: Path) -> None:
    ranges = RangeOperations()
    net = network(partial(mlp, "quick_gelu"), (None, TOKENS, WIDTH))
    net.apply(ranges, IDS)
    recorder = partial(int8.Int8Operations, ranges=ranges.ranges, bits=8)
    graph = onnx.load(compile_network(net, tmp_path, recorder), load_external_data=False).graph
    read = {name for node in graph.node for name in node.input} | {o.name for o in graph.output}
    assert all(read.intersection(node.output) for node in graph.node)
    assert {value.name for value in graph.initializer} <= read


def test_a_net_without_whole_numbers_is_as_in_fp32(tmp_path: Path) -> None:
    """Exact floats cost time, and gain nothing where nothing is rounded."""

    def body(ops: Any, ids: Any) -> Any:
        return ops.activation(normed(ops, ids), "quick_gelu")  # of no layer

    empty: Sequence[Any] = [np.zeros(0, dtype=np.float32)]
    recorder = partial(int8.Int8Operations, ranges=empty, bits=8)
    path = compile_network(network(body, (None, TOKENS, WIDTH)), tmp_path, recorder)
    operators = {node.op_type for node in onnx.load(path, load_external_data=False).graph.node}
    assert "LayerNormalization" in operators and "Sigmoid" in operators
