"""Gradients through the networks, held against finite differences; steps that lower a loss."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import checkpoints
import hf_checkpoints
import openclip_checkpoints
from unseen.models import families, hub
from unseen.models.model import Model
from unseen.models.weights.changes import trainable
from unseen.networks.network import Network
from unseen.runtimes.torch import TorchNetwork
from unseen.runtimes.trainer import Batch, Objective, Trainer
from unseen.runtimes.training import TrainableNetwork

RNG = np.random.default_rng(7)
TEXTS = ["a photo of a cat", "two small dogs", "x"]
MAKERS: dict[str, Callable[[Path], Path]] = {
    "clip": lambda folder: checkpoints.clip(folder, "odd", layers=2),
    "openclip": lambda folder: openclip_checkpoints.openclip(folder, "vit"),
    "openclip, resnet": lambda folder: openclip_checkpoints.openclip(folder, "resnet"),
    "siglip": hf_checkpoints.siglip,
    "chinese_clip": lambda folder: hf_checkpoints.chinese_clip(folder, layers=2),
    "altclip": lambda folder: hf_checkpoints.altclip(folder, layers=2),
}


@pytest.fixture(scope="module", params=MAKERS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = MAKERS[request.param](tmp_path_factory.mktemp("training") / "model")
    return families.read(hub.locate(str(folder)))


def pictures(network: Network[Any], count: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, *network.inputs[0].shape[1:]), dtype=np.uint8)


def texts(dimension: int, count: int) -> np.ndarray:
    rows = RNG.standard_normal((count, dimension)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def batch(network: TrainableNetwork, arrays: tuple[Any, ...], dimension: int, leash: int) -> Batch:
    values = network.lower(*arrays)
    labelled = len(arrays[0]) - leash
    positive = np.eye(labelled, dtype=bool)
    return Batch(values, texts(dimension, labelled), positive, texts(dimension, leash))


def inputs(model: Model, tower: str) -> tuple[Network[Any], tuple[Any, ...]]:
    if tower == "image":
        network = model.image_network()
        return network, (pictures(network, 3),)
    ids, _ = model.tokenizer.encode(TEXTS, model.context_length)
    return model.text_network(), model.text_inputs(ids)


@pytest.mark.parametrize("tower", ["image", "text"])
def test_gradients_are_those_of_finite_differences(model: Model, tower: str) -> None:
    network, arrays = inputs(model, tower)
    names = list(trainable(network))
    assert len(names) > 10
    net = TrainableNetwork(network, "cpu", names, dtype=torch.float64)
    assert [*net.leaves] == names  # each reaches an operation
    target = torch.from_numpy(texts(model.dimension, 3)).double()
    objective = Objective(model.score.rule, 5.0, model.score.bias)
    positive = torch.eye(3, dtype=torch.bool)

    def loss() -> torch.Tensor:
        return objective.contrast(net.whole(*arrays), target, positive)

    loss().backward()
    step, worst, lengths = 1e-6, 0.0, []
    whole = float(torch.stack([leaf.grad.norm() for leaf in net.leaves.values()]).norm())
    for leaf in net.leaves.values():
        generator = torch.Generator().manual_seed(len(lengths))
        direction = torch.randn(leaf.shape, generator=generator, dtype=torch.float64)
        direction /= direction.norm()
        direction += leaf.grad / max(float(leaf.grad.norm()), 1e-12)
        expected = float((leaf.grad * direction).sum())
        with torch.no_grad():
            leaf.add_(direction, alpha=step)
            above = float(loss())
            leaf.add_(direction, alpha=-2 * step)
            below = float(loss())
            leaf.add_(direction, alpha=step)
        lengths.append(float(leaf.grad.norm()))
        worst = max(worst, abs((above - below) / (2 * step) - expected) / whole)
    assert worst < 1e-4
    # A bias of keys changes nothing but the sum of attention, and so has no gradient.
    assert sum(length > 1e-9 * whole for length in lengths) > 0.8 * len(lengths)


@pytest.mark.parametrize("tower", ["image", "text"])
def test_the_training_form_answers_as_the_network_does(model: Model, tower: str) -> None:
    network, arrays = inputs(model, tower)
    expected = TorchNetwork(network, "cpu")(*arrays)
    net = TrainableNetwork(network, "cpu", list(trainable(network)))
    np.testing.assert_allclose(net.embed(*arrays), expected, atol=1e-6)
    if tower == "image":  # what is kept of a picture has 16 bits
        rows = net.upper(*net.tensors(net.lower(*arrays))).detach().numpy()
        np.testing.assert_allclose(rows, expected, atol=3e-3)


def test_a_step_lowers_the_loss(model: Model) -> None:
    network = model.image_network()
    net = TrainableNetwork(network, "cpu", list(trainable(network)))
    trainer = Trainer(net, Objective(model.score.rule, 5.0, -2.0, leash=1.0))
    one = batch(net, (pictures(network, 6),), model.dimension, 2)
    before = trainer.step(one, 3e-4)
    for _ in range(3):
        trainer.step(one, 3e-4)
    after = trainer.gradient(one)
    assert after.whole < before.whole
    assert before.whole == pytest.approx(before.contrast + before.drift, rel=1e-5)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = checkpoints.clip(tmp_path_factory.mktemp("training") / "odd", "odd", layers=3)
    return families.read(hub.locate(str(folder)))


def trainer_of(model: Model, micro_batch: int = 64, **settings: Any) -> Trainer:
    network = model.image_network()
    names = settings.pop("names", None) or list(trainable(network))
    net = TrainableNetwork(network, "cpu", names, **settings)
    return Trainer(net, Objective("softmax", 10.0, leash=2.0), micro_batch=micro_batch)


def test_a_large_batch_in_parts_has_the_same_gradient(small: Model) -> None:
    whole, parts = trainer_of(small), trainer_of(small, micro_batch=3)
    arrays = (pictures(small.image_network(), 8),)
    one = batch(whole.network, arrays, small.dimension, 3)
    assert parts.gradient(one).whole == pytest.approx(whole.gradient(one).whole, rel=1e-5)
    for name, leaf in whole.network.leaves.items():
        other = parts.network.leaves[name]
        assert leaf.grad is not None and other.grad is not None
        torch.testing.assert_close(other.grad, leaf.grad, rtol=1e-4, atol=1e-6)


def test_the_last_block_alone_keeps_what_is_below(small: Model) -> None:
    network = small.image_network()
    names = [name for name in trainable(network) if name.startswith("layers.2.")]
    trainer = trainer_of(small, names=names)
    arrays = (pictures(network, 4),)
    values = trainer.network.lower(*arrays)
    assert {array.dtype for array in values} == {np.dtype(np.float16)}
    # The tokens that enter it, and the first of them, to which the block adds.
    assert sorted(array.shape for array in values) == [(4, 1, 60), (4, 50, 60)]
    trainer.step(batch(trainer.network, arrays, small.dimension, 1), 1e-3)
    assert {*trainer.network.changes()} == {*names}
    assert all(
        np.abs(c).max() > 0 for n, c in trainer.network.changes().items() if "key.b" not in n
    )


def test_products_in_16_bits_have_nearly_the_same_gradient(small: Model) -> None:
    """bfloat16 on the processor stands in for what a GPU does: the same code, other kernels."""
    whole, half = trainer_of(small), trainer_of(small, autocast=torch.bfloat16)
    arrays = (pictures(small.image_network(), 8),)
    one = batch(whole.network, arrays, small.dimension, 2)
    assert half.gradient(one).whole == pytest.approx(whole.gradient(one).whole, rel=0.05)
    gradients = []
    for trainer in (whole, half):
        leaves = trainer.network.leaves.values()
        assert all(leaf.dtype == leaf.grad.dtype == torch.float32 for leaf in leaves)
        gradients.append(torch.cat([leaf.grad.flatten() for leaf in leaves]))
    assert float(torch.cosine_similarity(*gradients, dim=0)) > 0.98
    assert not torch.equal(*gradients)  # they were computed otherwise
    before = half.step(one, 1e-3)
    for _ in range(4):
        half.step(one, 1e-3)
    assert half.gradient(one).whole < before.whole
    assert all(change.dtype == np.float32 for change in half.network.changes().values())


def test_low_rank_begins_with_no_change(small: Model) -> None:
    network = small.image_network()
    names = [name for name in trainable(network) if name.endswith(("query.weight", "value.weight"))]
    trainer = trainer_of(small, names=names, rank=2, seed=3)
    arrays = (pictures(network, 4),)
    np.testing.assert_allclose(
        trainer.network.embed(*arrays), TorchNetwork(network, "cpu")(*arrays), atol=1e-6
    )
    one = batch(trainer.network, arrays, small.dimension, 0)
    first = trainer.step(one, 1e-2)
    for _ in range(4):
        trainer.step(one, 1e-2)
    assert trainer.gradient(one).whole < first.whole
    changes = trainer.network.changes()
    assert {*changes} == {*names}
    assert all(np.linalg.matrix_rank(change) <= 2 for change in changes.values())


def test_a_state_goes_on_to_the_same_bits(small: Model) -> None:
    whole = trainer_of(small)
    arrays = (pictures(small.image_network(), 5),)
    one = batch(whole.network, arrays, small.dimension, 1)
    for _ in range(3):
        whole.step(one, 1e-3)
    stopped = trainer_of(small)
    stopped.step(one, 1e-3)
    later = trainer_of(small)
    later.restore({k: v.copy() for k, v in stopped.state().items()}, 1)
    for _ in range(2):
        later.step(one, 1e-3)
    for name, leaf in whole.network.leaves.items():
        assert torch.equal(leaf, later.network.leaves[name]), name


def test_pairs_of_one_label_share_the_target() -> None:
    objective = Objective("softmax", 2.0)
    images, words = (torch.from_numpy(texts(5, 3)) for _ in range(2))
    positive = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    share = positive.numpy() / positive.sum(1, keepdim=True).numpy()
    logits = 2.0 * images.numpy() @ words.numpy().T

    def entropy(rows: np.ndarray) -> float:
        likely = np.exp(rows) / np.exp(rows).sum(1, keepdims=True)
        return float(-(share * np.log(likely)).sum(1).mean())

    expected = (entropy(logits) + entropy(logits.T)) / 2
    assert float(objective.contrast(images, words, positive)) == pytest.approx(expected, rel=1e-5)


def test_a_sigmoid_asks_about_each_pair() -> None:
    objective = Objective("sigmoid", 3.0, -1.0)
    images, words = (torch.from_numpy(texts(5, 2)) for _ in range(2))
    positive = torch.eye(2, dtype=torch.bool)
    logits = 3.0 * images.numpy() @ words.numpy().T - 1.0
    signs = 2 * np.eye(2) - 1
    expected = float(np.log1p(np.exp(-signs * logits)).sum() / 2)
    assert float(objective.contrast(images, words, positive)) == pytest.approx(expected, rel=1e-5)
