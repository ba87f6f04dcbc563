"""TIPS v2: our numbers against transformers' on the same files, and a test for each trap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from transformers import Tipsv2ImageProcessor, Tipsv2Model, Tipsv2Tokenizer
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

import hf_newer_checkpoints
import unseen
from judging import TEXTS, HfJudge, Rows, assert_close, differences, pictures
from unseen.models.towers import TowerSpec, build_network
from unseen.models.weights.rules import Sinusoids
from unseen.runtimes import reference
from unseen.runtimes.torch import TorchNetwork

# transformers makes NaN of a text without tokens; we make it a row of zeros.
SOME = [text for text in TEXTS if text]


def judge_of(folder: Path) -> HfJudge:
    tokenizer = Tipsv2Tokenizer.from_pretrained(folder)

    def tokenize(texts: list[str]) -> dict[str, object]:
        given = tokenizer(
            texts, padding="max_length", max_length=64, truncation=True, return_tensors="pt"
        )
        return {name: given[name] for name in ("input_ids", "attention_mask")}

    # Its own processor resizes by torchvision: this one has Pillow do the same.
    return HfJudge(folder, Tipsv2Model, ViTImageProcessorPil, tokenize)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_newer_checkpoints.tips(tmp_path_factory.mktemp("tips"))


@pytest.mark.parametrize("shape", hf_newer_checkpoints.TIPS_SHAPES)
@pytest.mark.parametrize("original", [False, True], ids=["saved", "original"])
def test_every_shape_agrees_with_transformers(shape: str, original: bool, tmp_path: Path) -> None:
    folder = hf_newer_checkpoints.tips(tmp_path / "model", shape, original=original)
    assert_close(differences(folder, judge_of(folder), [*SOME, "A Photo Of A CAT"]))


def test_pictures_are_those_of_its_own_processor(folder: Path) -> None:
    """Within one grey level: it resizes by torchvision."""
    processor = Tipsv2ImageProcessor.from_pretrained(folder)
    model = unseen.load(folder).model
    for image in pictures():
        wanted = processor([image], return_tensors="np")["pixel_values"][0] * 255
        np.testing.assert_allclose(model.preprocess(image).transpose(2, 0, 1), wanted, atol=1.01)
    assert model.preprocess.mean == (0, 0, 0) and model.preprocess.std == (1, 1, 1)


def test_the_temperature_of_the_config_counts_where_none_is_stored(tmp_path: Path) -> None:
    learnt = hf_newer_checkpoints.tips(tmp_path / "learnt")
    published = hf_newer_checkpoints.tips(tmp_path / "published", original=True)
    assert unseen.load(learnt).model.score.scale == pytest.approx(1 / 0.05)
    assert unseen.load(published).model.score.scale == pytest.approx(1 / 0.03)


def test_an_empty_text_is_a_row_of_zeros(folder: Path) -> None:
    """Its tokenizer makes no token of it; no other text of the batch changes."""
    ours = unseen.load(folder)
    rows = ours.encode_texts(["", "a cat"])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [0, 1], atol=1e-5)
    np.testing.assert_allclose(rows[1:], judge_of(folder).texts(["a cat"]), atol=1e-4)
    assert not ours.encode_texts([" "]).any()


def image_rows(model: Any, tower: TowerSpec) -> Rows:
    pixels = np.stack([model.preprocess(image) for image in pictures()])
    return reference.run(build_network(tower, model.weights.arrays), pixels)


@pytest.mark.parametrize("trap", ["no register", "no LayerScale", "another epsilon"])
def test_the_traps_of_the_image_net_show(trap: str, folder: Path) -> None:
    model = unseen.load(folder).model
    tower, right = model.image_tower, judge_of(folder).images(pictures())
    np.testing.assert_allclose(image_rows(model, tower), right, atol=1e-5)
    names = dict(tower.names)
    if trap == "no register":
        del names["registers"]
    elif trap == "no LayerScale":
        names |= {n: r.name for n, r in names.items() if type(r).__name__ == "Scaled"}  # type: ignore[union-attr]
    else:
        blocks = replace(tower.config.blocks, epsilon=1e-1)
        tower = replace(tower, config=replace(tower.config, blocks=blocks))
    assert np.abs(image_rows(model, replace(tower, names=names)) - right).max() > 1e-3


@pytest.mark.parametrize("trap", ["no scale", "interleaved", "gelu", "the end token", "no mask"])
def test_the_traps_of_the_text_net_show(trap: str, folder: Path) -> None:
    model = unseen.load(folder).model
    tower, right = model.text_tower, judge_of(folder).texts(SOME)
    ids, _ = model.tokenizer.encode(SOME)
    batch, mask = model.text_inputs(ids)
    names = dict(tower.names)

    def interleaved(self: Sinusoids, weights: Any) -> Any:
        table = original(self, weights)
        half = self.width // 2
        return np.stack([table[:, :half], table[:, half:]], 2).reshape(table.shape)

    original = Sinusoids.__call__
    patched = mock.patch.object(Sinusoids, "__call__", original)
    if trap == "no scale":
        names["tokens"] = names["tokens"].name  # type: ignore[union-attr]
    elif trap == "interleaved":
        patched = mock.patch.object(Sinusoids, "__call__", interleaved)
    elif trap == "gelu":
        blocks = replace(tower.config.blocks, activation="gelu")
        tower = replace(tower, config=replace(tower.config, blocks=blocks))
    elif trap == "the end token":
        mask = np.eye(batch.shape[1], dtype=np.int64)[mask.sum(1) - 1]
    else:
        mask = np.ones_like(mask)
    with patched:
        network = build_network(replace(tower, names=names), model.weights.arrays)
        assert np.abs(reference.run(network, batch, mask) - right).max() > 1e-3


@pytest.mark.parametrize("shape", ["b14", "g14"])
def test_torch_and_whole_numbers_agree(shape: str, tmp_path: Path) -> None:
    folder = hf_newer_checkpoints.tips(tmp_path / "model", shape)
    model = unseen.load(folder).model
    right = image_rows(model, model.image_tower)
    pixels = np.stack([model.preprocess(image) for image in pictures()])
    np.testing.assert_allclose(TorchNetwork(model.image_network(), "cpu")(pixels), right, atol=1e-4)
    ids, _ = model.tokenizer.encode(SOME)
    arrays = model.text_inputs(ids)
    text = reference.run(model.text_network(), *arrays)
    np.testing.assert_allclose(TorchNetwork(model.text_network(), "cpu")(*arrays), text, atol=1e-4)
    rough = unseen.load(folder, precision="int8").encode_images(pictures())
    assert (rough * right).sum(1).min() > 0.99
    assert unseen.Model.from_json(model.to_json()) == model
