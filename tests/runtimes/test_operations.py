"""Each operation: numpy against torch's own (the judge), the other runtimes against numpy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen.networks.network import Input, single_output
from unseen.networks.operations import ACTIVATIONS
from unseen.runtimes import onnx, reference
from unseen.runtimes import torch as runtime

F = torch.nn.functional
RNG = np.random.default_rng(7)


def rand(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


# Inputs of a recorded network are ids or pixels, so floats come in through a table: row i is x[i].
IDS = np.arange(3)[:, None]
TABLE, OTHER, THIRD = rand(3, 60), rand(3, 60), rand(3, 60)
# Rows as long as these: the second and the third are longer than 1 allows.
COSINES = torch.tensor([[0.6], [1.0], [1.0]])
LENGTHS = (TABLE / np.linalg.norm(TABLE, axis=1, keepdims=True) * [[0.6], [1.5], [40]]).astype("f4")
W, B = rand(8, 12), rand(8)
WEIGHT, BIAS = rand(12), rand(12)
KERNEL, OFFSET = rand(4, 3, 2, 2), rand(4)
DEPTHWISE = rand(3, 1, 3, 3)
TOKENS = rand(9, 12)


def tokens(ops: Any, ids: Any, table: Any = TABLE) -> Any:
    """(3, 5, 12)"""
    return ops.reshape(ops.embedding(table, ids), (-1, 5, 12))


def square(ops: Any, ids: Any) -> Any:
    """(3, 3, 4, 5)"""
    return ops.reshape(ops.embedding(TABLE, ids), (-1, 3, 4, 5))


def t(array: Any, *shape: int) -> torch.Tensor:
    return torch.tensor(array).reshape(shape)


def heads(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(3, 5, 3, 4).transpose(1, 2)


def torch_attention(**options: Any) -> torch.Tensor:
    q, k, v = (heads(t(x, 3, 5, 12)) for x in (TABLE, OTHER, THIRD))
    return F.scaled_dot_product_attention(q, k, v, **options).transpose(1, 2).reshape(3, 5, 12)


def attention(ops: Any, ids: Any, **options: Any) -> Any:
    q, k, v = (tokens(ops, ids, table) for table in (TABLE, OTHER, THIRD))
    return ops.attention(q, k, v, 3, **options)


# Of a tree of 15 nodes: two sections of three queries, and four keys for each.
SECTIONS = np.array([[0, 1, 2], [4, 3, 3]])
KEYS = np.array([[0, 1, 2, 3], [4, 0, 1, 2]])
SEEN = np.array(
    [[[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0]], [[1, 0, 0, 0], [1, 1, 1, 1], [1, 0, 1, 0]]]
)
TREE_BIAS = np.where(SEEN, 0, -np.inf).astype(np.float32)


def tree_attention(ops: Any, ids: Any) -> Any:
    """(1, 6, 12)"""
    q, k, v = (ops.reshape(tokens(ops, ids, x), (1, -1, 12)) for x in (TABLE, OTHER, THIRD))
    queries, keys, bias = (ops.constant(x) for x in (SECTIONS, KEYS, TREE_BIAS))
    return ops.tree_attention(q, k, v, 3, queries, keys, bias)


def torch_tree_attention() -> torch.Tensor:
    q, k, v = (
        t(x, 15, 3, 4)[torch.tensor(nodes)].transpose(1, 2)
        for x, nodes in ((TABLE, SECTIONS), (OTHER, KEYS), (THIRD, KEYS))
    )
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=torch.tensor(SEEN == 1)[:, None])
    return y.transpose(1, 2).reshape(1, 6, 12)


X = t(TABLE, 3, 5, 12)
S = t(TABLE, 3, 3, 4, 5)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0]])
PLANES = rand(3, 5, 2)


def torch_weights(name: str) -> torch.Tensor:
    """(3, heads, 5, 5): torch's own attention of values that are the unit vectors."""
    q, k = (heads(t(x, 3, 5, 12)) for x in (TABLE, OTHER))
    visible = torch.ones(3, 1, 5, 5, dtype=torch.bool)
    if "causal" in name:
        visible = visible.tril()
    if "mask" in name:
        visible = visible & torch.tensor(MASK, dtype=torch.bool)[:, None, None, :]
    unit = torch.eye(5).expand(3, 3, 5, 5)
    return F.scaled_dot_product_attention(q, k, unit, attn_mask=visible)


def weights(ops: Any, ids: Any, name: str) -> Any:
    mask = ops.constant(MASK) if "mask" in name else None
    q, k = tokens(ops, ids), tokens(ops, ids, OTHER)
    return ops.attention_weights(q, k, 3, causal="causal" in name, mask=mask)


def split(ops: Any, x: Any) -> Any:
    """(3, 5, 12) → (3, heads, 5, 4)"""
    return ops.transpose(ops.reshape(x, (0, 0, 3, -1)), (0, 2, 1, 3))


GELUS = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "tanh": torch.tanh,
}

CASES: dict[str, tuple[Callable[[Any, Any], Any], torch.Tensor]] = {
    "linear": (lambda o, i: o.linear(tokens(o, i), W, B), F.linear(X, t(W, 8, 12), t(B, 8))),
    "linear without bias": (lambda o, i: o.linear(tokens(o, i), W), X @ t(W, 8, 12).T),
    "add, mul, constant": (
        lambda o, i: o.mul(o.add(tokens(o, i), o.constant(WEIGHT)), o.constant(BIAS)),
        (X + t(WEIGHT, 12)) * t(BIAS, 12),
    ),
    "layer_norm": (
        lambda o, i: o.layer_norm(tokens(o, i), WEIGHT, BIAS, 0.01),
        F.layer_norm(X, (12,), t(WEIGHT, 12), t(BIAS, 12), 0.01),
    ),
    "conv with stride": (
        lambda o, i: o.conv(square(o, i), KERNEL, OFFSET, stride=2),
        F.conv2d(S, t(KERNEL, 4, 3, 2, 2), t(OFFSET, 4), stride=2),
    ),
    "depthwise conv with uneven padding": (
        lambda o, i: o.conv(square(o, i), DEPTHWISE, stride=2, padding=(0, 1, 1, 2), groups=3),
        F.conv2d(F.pad(S, (1, 2, 0, 1)), t(DEPTHWISE, 3, 1, 3, 3), stride=2, groups=3),
    ),
    "attention": (attention, torch_attention()),
    "causal attention": (
        lambda o, i: attention(o, i, causal=True),
        torch_attention(is_causal=True),
    ),
    "masked attention": (
        lambda o, i: attention(o, i, mask=o.constant(MASK)),
        torch_attention(attn_mask=torch.tensor(MASK, dtype=torch.bool)[:, None, None, :]),
    ),
    "attention of one query": (
        lambda o, i: o.attention(
            o.slice(tokens(o, i), 1, 0, 1), tokens(o, i, OTHER), tokens(o, i, THIRD), 3
        ),
        torch_attention()[:, :1],
    ),
    **{
        f"attention_weights, {name}": (
            lambda o, i, name=name: weights(o, i, name),
            torch_weights(name),
        )
        for name in ("plain", "causal", "mask", "causal and mask")
    },
    "attention_weights of one query": (
        lambda o, i: o.attention_weights(o.slice(tokens(o, i), 1, 0, 1), tokens(o, i, OTHER), 3),
        torch_weights("plain")[:, :, :1],
    ),
    "attention_weights times values": (
        lambda o, i: o.matmul(weights(o, i, "mask"), split(o, tokens(o, i, THIRD))),
        heads(torch_attention(attn_mask=torch.tensor(MASK, dtype=torch.bool)[:, None, None, :])),
    ),
    "matmul": (
        lambda o, i: o.matmul(tokens(o, i), o.transpose(tokens(o, i, OTHER), (0, 2, 1))),
        torch.matmul(X, t(OTHER, 3, 5, 12).transpose(1, 2)),
    ),
    "matmul that broadcasts": (
        lambda o, i: o.matmul(square(o, i), o.constant(PLANES)),
        torch.matmul(S, torch.tensor(PLANES)),
    ),
    "matmul with a matrix": (
        lambda o, i: o.matmul(o.constant(PLANES[0].T), o.transpose(square(o, i), (0, 1, 3, 2))),
        torch.matmul(torch.tensor(PLANES[0].T), S.transpose(2, 3)),
    ),
    "softmax": (lambda o, i: o.softmax(tokens(o, i)), X.softmax(-1)),
    "keep_top": (
        lambda o, i: o.keep_top(o.embedding(TABLE, o.reshape(i, (-1,))), 2),
        torch.zeros(3, 60).scatter(1, t(TABLE, 3, 60).topk(2)[1], t(TABLE, 3, 60).topk(2)[0]),
    ),
    "mean": (lambda o, i: o.mean(square(o, i), (2, 3)), S.mean((2, 3))),
    "masked_mean": (
        lambda o, i: o.masked_mean(tokens(o, i), o.constant(MASK)),
        (X * torch.tensor(MASK)[..., None]).sum(1) / torch.tensor(MASK).sum(1, keepdim=True),
    ),
    "l2_normalise": (lambda o, i: o.l2_normalise(tokens(o, i)), F.normalize(X, dim=-1)),
    "complete": (
        lambda o, i: o.complete(o.embedding(LENGTHS, o.reshape(i, (-1,)))),
        torch.cat([F.normalize(t(LENGTHS, 3, 60)) * COSINES, (1 - COSINES**2).sqrt()], 1),
    ),
    "transpose": (lambda o, i: o.transpose(square(o, i), (0, 2, 3, 1)), S.permute(0, 2, 3, 1)),
    "slice to the end": (lambda o, i: o.slice(tokens(o, i), 1, 2, None), X[:, 2:]),
    "concat": (lambda o, i: o.concat([tokens(o, i)] * 2, 1), torch.cat([X, X], 1)),
    "first_token": (
        lambda o, i: o.concat([o.first_token(WEIGHT, tokens(o, i)), tokens(o, i)], 1),
        torch.cat([t(WEIGHT, 1, 1, 12).expand(3, 1, 12), X], 1),
    ),
    "positions": (
        lambda o, i: o.add(tokens(o, i), o.positions(TOKENS, tokens(o, i))),
        X + t(TOKENS, 9, 12)[:5],
    ),
    "take_token": (
        lambda o, i: o.take_token(tokens(o, i), o.constant(np.array([4, 0, 2]))),
        X[torch.arange(3), torch.tensor([4, 0, 2])],
    ),
    "take": (
        lambda o, i: o.take(tokens(o, i), o.constant(SECTIONS), 1),
        X[:, torch.tensor(SECTIONS)],
    ),
    "tree_attention": (tree_attention, torch_tree_attention()),
    **{
        f"activation {name}": (
            lambda o, i, name=name: o.activation(tokens(o, i), name),
            GELUS[name](X),
        )
        for name in ACTIVATIONS
    },
}


@pytest.mark.parametrize("case", CASES)
def test_numpy_agrees_with_torch_and_the_runtimes_with_numpy(case: str, tmp_path: Path) -> None:
    body, expected = CASES[case]
    network = single_output(
        "case",
        (Input("ids", "int64", (None, 1)),),
        lambda ops, _, ids: body(ops, ids),
        (None, *expected.shape[1:]),
    )
    ours = reference.run(network, IDS)
    assert ours.shape == tuple(expected.shape)
    np.testing.assert_allclose(ours, expected.numpy(), rtol=0, atol=2e-6)
    session = onnx.OnnxNetwork(onnx.compile_network(network, tmp_path))
    np.testing.assert_allclose(session(IDS), ours, rtol=0, atol=2e-6)
    on_torch = runtime.TorchNetwork(network, "cpu")(IDS)
    assert on_torch.dtype == np.float32
    np.testing.assert_allclose(on_torch, ours, rtol=0, atol=2e-6)


def test_pixels_are_channels_first_and_keep_their_values(tmp_path: Path) -> None:
    picture = RNG.integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    network = single_output(
        "case",
        (Input("images", "uint8", (None, 4, 5, 3)),),
        lambda ops, _, x: ops.pixels(x),
        (None, 3, 4, 5),
    )
    expected = picture.transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_array_equal(reference.run(network, picture), expected)
    session = onnx.OnnxNetwork(onnx.compile_network(network, tmp_path))
    np.testing.assert_array_equal(session(picture), expected)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        on_torch = runtime.TorchNetwork(network, "cpu", dtype)
        np.testing.assert_array_equal(on_torch(picture), expected)


def test_large_parameters_lie_beside_the_graph(tmp_path: Path) -> None:
    table = rand(100, 64)
    network = single_output(
        "case",
        (Input("ids", "int64", (None,)),),
        lambda ops, _, ids: ops.embedding(table, ids),
        (None, 64),
    )
    path = onnx.compile_network(network, tmp_path)
    assert path.stat().st_size < 1000 < (tmp_path / "case.bin").stat().st_size
    np.testing.assert_array_equal(onnx.OnnxNetwork(path)(np.array([3, 99])), table[[3, 99]])


def test_a_row_of_zeros_stays_one(tmp_path: Path) -> None:
    table = np.zeros((1, 4), np.float32)
    network = single_output(
        "case",
        (Input("ids", "int64", (None,)),),
        lambda ops, _, ids: ops.l2_normalise(ops.embedding(table, ids)),
        (None, 4),
    )
    session = onnx.OnnxNetwork(onnx.compile_network(network, tmp_path))
    subjects = (partial(reference.run, network), session, runtime.TorchNetwork(network, "cpu"))
    for output in (run(np.array([0])) for run in subjects):
        np.testing.assert_array_equal(output, table)
