"""Texts in batches: those of a causal net as a prefix tree, which gives what each gives alone."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CLIPModel

import checkpoints
import unseen
from unseen.encoder import MANY_TEXTS
from unseen.models import compiled
from unseen.models.inputs import EndToken
from unseen.models.text_batches import KEYS, tree_batches
from unseen.runtimes import reference
from unseen.runtimes.torch import TorchNetwork
from unseen.system.prompt_cache import VectorCache

TEMPLATES = ("a photo of a {}", "a photo of a large {}", "{}", "a bad photo of the {} again")
NAMES = ("cat", "dog", "red cup", "red cups of coffee", "a", "photo", "cat cat cat cat cat cat cat")
TEXTS = [template.format(name) for name in NAMES for template in TEMPLATES]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP wide enough that its linear layers are worth 8 bits."""
    return checkpoints.clip(tmp_path_factory.mktemp("wide") / "clip", width=192, heads=3)


@pytest.fixture(scope="module")
def model(wide: Path) -> unseen.Model:
    return unseen.load(wide).model


@pytest.fixture(scope="module")
def ids(model: unseen.Model) -> list[list[int]]:
    return model.tokenizer.encode(TEXTS, model.context_length)[0]


def on_trees(net: Any, texts: list[list[int]], nodes: int = 512) -> np.ndarray:
    """The rows of a net of prefix trees, in the order of the texts."""
    rows: dict[int, np.ndarray] = {}
    for batch, arrays in tree_batches(texts, nodes):
        rows |= dict(zip(batch, net(*arrays), strict=True))
    assert sorted(rows) == list(range(len(texts)))
    return np.stack([rows[index] for index in range(len(texts))])


def test_the_judge_gives_the_same_vectors(wide: Path, model: unseen.Model, ids: Any) -> None:
    theirs = CLIPModel.from_pretrained(wide).eval()
    with torch.inference_mode():
        rows = [theirs.get_text_features(torch.tensor([text])) for text in ids]
    rows = [getattr(row, "pooler_output", row) for row in rows]
    expected = torch.nn.functional.normalize(torch.cat(rows), dim=-1).numpy()
    np.testing.assert_allclose(unseen.load(wide).encode_texts(TEXTS), expected, atol=2e-6)


@pytest.mark.parametrize("nodes", [1, 7, 40, 512])
def test_a_tree_gives_what_padded_texts_give(model: unseen.Model, ids: Any, nodes: int) -> None:
    expected = reference.run(model.text_network(), *model.text_inputs(ids))
    network = model.prefix_tree_network()
    ours = on_trees(lambda *arrays: reference.run(network, *arrays), ids, nodes)
    np.testing.assert_allclose(ours, expected, atol=2e-6)


@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_every_runtime_agrees(wide: Path, model: unseen.Model, ids: Any, runtime: str) -> None:
    expected = reference.run(model.text_network(), *model.text_inputs(ids))
    net: Any = unseen.load(wide).encoder._text  # type: ignore[attr-defined]
    if runtime == "torch":
        net = TorchNetwork(model.prefix_tree_network(), "cpu")
    np.testing.assert_allclose(on_trees(net, ids), expected, atol=2e-6)


@pytest.mark.parametrize("seed", range(30))
def test_random_texts_are_each_computed_once(seed: int) -> None:
    """Whatever they share, are or how long they are: the arrays lead each text to its own ids."""
    rng = np.random.default_rng(seed)
    texts = [rng.integers(0, 3, rng.integers(1, 40)).tolist() for _ in range(60)]
    texts += [texts[0], texts[1][:1], [*texts[2], 7]]
    nodes = int(rng.integers(1, 300))
    seen, total = [], 0
    for batch, arrays in tree_batches(texts, nodes):
        tokens, depths, queries, keys, bias, places, ends, keys_of_ends, bias_of_ends = arrays
        total += tokens.size
        distinct = {tuple(texts[i][: n + 1]) for i in batch for n in range(len(texts[i]))}
        assert tokens.size == len(distinct)  # each beginning once
        assert tokens.size <= max(nodes, len(texts[batch[0]]))
        assert len(batch) == 1 or keys_of_ends.size <= KEYS
        # Each node is the query at its place, and sees the nodes on its way and itself, in order.
        nodes_of = np.arange(tokens.size)
        assert (queries.ravel()[places] == nodes_of).all()
        ways = np.repeat(keys, queries.shape[1], 0)[places]
        visible = bias.reshape(-1, bias.shape[2])[places] == 0
        for node, way, is_visible in zip(nodes_of, ways, visible, strict=True):
            assert depths[way[is_visible]].tolist() == list(range(depths[node] + 1))
            assert way[is_visible][-1] == node
        for index, way, is_visible in zip(
            batch, keys_of_ends, bias_of_ends[:, 0] == 0, strict=True
        ):
            assert tokens[0][way[is_visible]].tolist() == texts[index]
        assert (
            ends[:, 0]
            == [way[v][-1] for way, v in zip(keys_of_ends, bias_of_ends[:, 0] == 0, strict=True)]
        ).all()
        assert np.isfinite(bias[..., 0]).all()  # or softmax would have nothing to share out
        seen += batch
    assert sorted(seen) == list(range(len(texts)))
    assert total <= sum(map(len, texts))


def test_no_texts_are_no_batches() -> None:
    assert list(tree_batches([])) == []


@pytest.mark.parametrize("end", [None, 9])
def test_nothing_behind_the_end_counts(end: int | None) -> None:
    rule = EndToken(end)
    assert rule.read([8, 1, 9, 3, 9]) == [8, 1, 9]
    batch, ends = rule([[8, 1, 9, 3, 9], [8, 9]])
    assert ends.tolist() == [2, 1]
    assert batch.tolist() == [[8, 1, 9, 3, 9], [8, 9, 0, 0, 0]]
    assert EndToken(7).read([8, 1, 9]) == [8]  # a text without an end is read at its first token


def test_a_long_text_among_short_ones_is_not_paid_for_by_them() -> None:
    short = [[0, i, 1] for i in range(2, 400)]
    batches = list(tree_batches([*short, [0, *range(2, 1500), 1]], 10_000))
    assert max(arrays[7].size for batch, arrays in batches if len(batch) > 1) <= KEYS


def test_int8_of_both_gives_a_text_one_vector(wide: Path) -> None:
    """Alone, in a tree, and in trees that several threads compute."""
    exact = unseen.load(wide).encode_texts(TEXTS)
    encoder = unseen.load(wide, precision="int8-both").encoder
    together, _ = encoder.encode_once(TEXTS)
    alone = np.concatenate([encoder.encode_once([text])[0] for text in TEXTS])
    np.testing.assert_array_equal(together, alone)
    assert ((exact * together).sum(1) >= 0.995).all()
    assert np.abs(exact - together).max() > 1e-5  # it is not fp32 after all


def test_int8_alone_leaves_texts_as_they_are(wide: Path, fresh_home: Path) -> None:
    exact = unseen.load(wide).encode_texts(TEXTS)
    np.testing.assert_array_equal(unseen.load(wide, precision="int8").encode_texts(TEXTS), exact)
    count = VectorCache().count()
    both = unseen.load(wide, precision="int8-both").encode_texts(TEXTS)
    assert np.abs(both - exact).max() > 1e-5
    assert VectorCache().count() == 2 * count  # neither is taken for the other


def test_many_texts_are_encoded_by_a_thread_for_each_core(
    wide: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "usable", lambda: 2)
    texts = [f"{i % 10} {i // 10 % 10} {i // 100}" for i in range(MANY_TEXTS)]
    encoder = unseen.load(wide, precision="int8-both").encoder
    callers = set()
    run = encoder._text.run  # type: ignore[attr-defined]

    def noted(*arrays: Any) -> Any:
        callers.add(threading.current_thread().name)
        return run(*arrays)

    monkeypatch.setattr(encoder._text, "run", noted)  # type: ignore[attr-defined]
    steps: list[tuple[int, int]] = []
    rows = encoder.encode_texts(texts, progress=lambda *step: steps.append(step))
    assert {name.rpartition("_")[0] for name in callers} == {"unseen-encode"}
    assert steps[-1] == (len(texts), len(texts))
    assert steps == sorted(steps)
    callers.clear()
    few, _ = encoder.encode_once(texts[:50])
    assert callers == {threading.current_thread().name}
    np.testing.assert_array_equal(rows[:50], few)
