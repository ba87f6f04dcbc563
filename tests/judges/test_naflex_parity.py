"""SigLIP 2 of any resolution and FG-CLIP 2: our numbers against transformers' on the same files, in
batches of any mix of shapes, through index and server, and a test for each trap."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Siglip2Model, Siglip2Tokenizer
from transformers.models.siglip2.image_processing_pil_siglip2 import (
    Siglip2ImageProcessorPil,
    get_image_size_for_max_num_patches,
)

import asking
import hf_newer_checkpoints
import serving
import unseen
from judging import TEXTS, HfJudge, Rows, assert_close, differences, pictures
from unseen.images import patches
from unseen.images.patches import Patches
from unseen.load_options import LoadOptions
from unseen.models import processors
from unseen.runtimes import reference
from unseen.runtimes.torch import TorchNetwork
from unseen.transformers import AutoProcessor
from unseen.web.server.core.settings import Settings

# (width, height): tall, wide, tiny, and sides where a patch more or less is decided. None is a
# single patch wide: there torch 2.13 stretches positions wrongly (columns first, rows not at all).
SIZES = [(320, 240), (97, 203), (256, 256), (255, 257), (700, 90), (10, 900), (16, 16), (5, 3)]
SIZES += [(1023, 767), (640, 480), (481, 641), (4000, 3000), (333, 1000), (33, 31)]


def judge_of(folder: Path) -> HfJudge:
    tokenizer = Siglip2Tokenizer.from_pretrained(folder)

    def tokenize(texts: list[str]) -> dict[str, object]:
        ids = tokenizer(
            texts,
            padding="max_length",
            padding_side="right",
            max_length=64,
            truncation=True,
            return_tensors="pt",
        )
        return {"input_ids": ids["input_ids"]}

    return HfJudge(folder, Siglip2Model, Siglip2ImageProcessorPil, tokenize)


def embeddings(folder: Path, images: list[Image.Image]) -> Rows:
    model = unseen.load(folder).model
    arrays = model.image_inputs([model.preprocess(image) for image in images])
    return reference.run(model.image_network(), *arrays)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_newer_checkpoints.naflex(tmp_path_factory.mktemp("naflex"))


@pytest.mark.parametrize("shape", hf_newer_checkpoints.NAFLEX_SHAPES)
def test_every_shape_agrees_with_transformers(shape: str, tmp_path: Path) -> None:
    folder = hf_newer_checkpoints.naflex(tmp_path / "model", shape)
    assert_close(differences(folder, judge_of(folder), [*TEXTS, "A Photo Of A CAT"]))


def test_fg_clip_2_is_read_as_its_short_texts_are(tmp_path: Path, folder: Path) -> None:
    """The trap of its second positions and heads: they are for texts of 196 tokens."""
    other = hf_newer_checkpoints.fg_clip_2(tmp_path / "model")
    ours = unseen.load(other)
    assert ours.model.family == "siglip" and ours.model.context_length == 64
    plain = judge_of(folder)  # the same seed: the same nets
    np.testing.assert_allclose(ours.encode_texts(TEXTS), plain.texts(TEXTS), atol=1e-4)
    np.testing.assert_allclose(ours.encode_images(pictures()), plain.images(pictures()), atol=1e-4)


@pytest.mark.parametrize("count", [64, 256, 1024])
@pytest.mark.parametrize("patch", [16, 14])
def test_the_grid_is_that_of_transformers(count: int, patch: int) -> None:
    """The trap of a formula in place of the search: a side is then one patch more or less."""
    prepare = Patches(count, patch, 16, Image.Resampling.BILINEAR, (0.5,) * 3, (0.5,) * 3, 1 / 255)
    rng = np.random.default_rng(0)
    sizes = [*SIZES, *rng.integers(1, 3000, (300, 2)).tolist()]
    sizes += [(patch * k, patch * n) for k in range(1, 40, 3) for n in range(1, 40, 4)]
    for width, height in sizes:
        wanted = get_image_size_for_max_num_patches(height, width, patch, count)
        assert tuple(side * patch for side in prepare.grid(height, width)) == wanted


def test_patches_are_those_of_transformers(folder: Path) -> None:
    """The trap of channels before pixels: a patch is row, column, channel."""
    processor = Siglip2ImageProcessorPil.from_pretrained(folder)
    prepare = unseen.load(folder).model.preprocess
    for image in pictures():
        column, rows, columns = prepare(image)
        wanted = processor([image], return_tensors="np")
        count = int(wanted["pixel_attention_mask"].sum())
        ours = column.reshape(count, -1) / 127.5 - 1
        np.testing.assert_allclose(ours, wanted["pixel_values"][0, :count], atol=1e-6)
        assert len(rows) == len(columns) == count


@pytest.mark.parametrize(("old", "new"), [(16, 5), (16, 16), (16, 40), (5, 3), (16, 1)])
def test_positions_are_stretched_as_torch_does(old: int, new: int) -> None:
    """The trap of plain interpolation where the grid shrinks: torch has antialias there."""
    table = torch.randn(1, 7, old, old)
    stretch = torch.nn.functional.interpolate
    wanted = stretch(table, (new, old), mode="bilinear", align_corners=False, antialias=True)
    weights = patches.stretched(old, new)
    ours = np.einsum("io,bcow->bciw", weights, table.numpy())
    np.testing.assert_allclose(ours, wanted.numpy(), atol=1e-5)


def test_positions_of_rows_and_columns_are_not_mixed_up(folder: Path) -> None:
    """The trap of a grid of columns and rows."""
    right, image = embeddings(folder, pictures()[:1]), pictures()[0]
    prepare = unseen.load(folder).model.preprocess
    column, rows, columns = prepare(image)
    model = unseen.load(folder).model
    arrays = model.image_inputs([(column, columns, rows)])
    assert np.abs(reference.run(model.image_network(), *arrays) - right).max() > 1e-3


def test_a_picture_is_the_same_alone_and_beside_any_other(folder: Path) -> None:
    """The trap of padding that is seen: a batch of several grids, and of one."""
    images = [image.resize(size) for image, size in zip(pictures() * 4, SIZES, strict=False)]
    ours = unseen.load(folder)
    together = ours.encode_images(images, batch_size=len(images))
    alone = np.concatenate([ours.encode_images([image]) for image in images])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    np.testing.assert_allclose(together, judge_of(folder).images(images), atol=1e-4)


def test_padding_that_is_seen_shows(folder: Path) -> None:
    model = unseen.load(folder).model
    arrays = list(model.image_inputs([model.preprocess(image) for image in pictures()]))
    right = reference.run(model.image_network(), *arrays)
    assert arrays[3].min() == 0
    arrays[3] = np.ones_like(arrays[3])
    assert np.abs(reference.run(model.image_network(), *arrays) - right).max() > 1e-3


@pytest.mark.parametrize("runtime", ["torch", "int8", "fp16"])
def test_other_runtimes_agree(runtime: str, folder: Path) -> None:
    model, right = unseen.load(folder).model, embeddings(folder, pictures())
    if runtime == "torch":
        arrays = model.image_inputs([model.preprocess(image) for image in pictures()])
        rows = TorchNetwork(model.image_network(), "cpu")(*arrays)
        np.testing.assert_allclose(rows, right, atol=1e-4)
        return
    rows = unseen.load(folder, precision=runtime).encode_images(pictures())
    assert (rows * right).sum(1).min() > 0.99


def test_a_picture_of_another_shape_is_not_taken_for_one_in_the_cache(
    folder: Path, tmp_path: Path
) -> None:
    """The cache is by content, and content says the grid; preprocessing is part of its key."""
    wide = Image.new("RGB", (64, 32), "red")
    paths = [tmp_path / "wide.png", tmp_path / "tall.png"]
    wide.save(paths[0])
    wide.rotate(90, expand=True).save(paths[1])
    ours = unseen.load(folder)
    first = ours.encode_images(paths)
    assert np.abs(first[0] - first[1]).max() > 1e-4
    np.testing.assert_array_equal(unseen.load(folder).encode_images(paths), first)
    assert "Patches(count=256, patch=16" in ours.encoder._picture_key(ours.encoder.limits)


def test_an_index_holds_pictures_of_any_shape(folder: Path, tmp_path: Path) -> None:
    for number, image in enumerate(pictures()):
        image.save(tmp_path / f"{number}.png")
    ours = unseen.load(folder)
    with unseen.Index(tmp_path) as index:
        index.update(ours.encoder)
        for number in range(4):
            (hit,) = index.view().search(tmp_path / f"{number}.png", top=1)
            assert hit.paths == (f"{number}.png",) and hit.cosine == pytest.approx(1, abs=1e-4)


def test_a_server_answers_pictures_of_several_shapes_at_once(folder: Path, tmp_path: Path) -> None:
    labels = ["a cat", "a dog"]
    contents = []
    for image in pictures():
        content = io.BytesIO()
        image.save(content, "PNG")
        contents.append(content.getvalue())
    settings = Settings(LoadOptions(str(folder)), label_store=tmp_path / "sets.sqlite")
    ours = unseen.load(folder)
    with serving.serving(settings) as served:
        body = {
            "images": [base64.b64encode(content).decode() for content in contents],
            "labels": labels,
        }
        status, answer, _ = asking.ask(f"{served.url}/v1/classify", body)
    assert status == 200, answer
    for row, content in zip(answer["predictions"], contents, strict=True):
        expected = {r["label"]: r["score"] for r in ours.classify(content, labels)}
        found = {r["label"]: r["score"] for r in row["ranking"]}
        assert found == pytest.approx(expected, abs=1e-4)


def test_the_names_of_transformers_say_that_they_cannot(folder: Path) -> None:
    processor = AutoProcessor.from_pretrained(str(folder))
    with pytest.raises(unseen.ModelError, match="no pixel_values of one size"):
        processor(images=pictures()[:1])


def test_an_export_says_in_one_line_that_it_cannot(folder: Path, tmp_path: Path) -> None:
    ours = unseen.load(folder)
    with pytest.raises(unseen.ModelError, match="patches of a picture's own shape") as error:
        ours.export(["a cat", "a dog"], tmp_path / "model.onnx")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("file", "key", "value", "complaint"),
    [
        ("config.json", "num_patches", 250, "patches of a square"),
        ("config.json", "vision_use_head", False, "without its head"),
        ("preprocessor_config.json", "patch_size", 14, "patches of 14 pixels"),
        ("preprocessor_config.json", "do_resize", False, "keeps the size"),
        ("preprocessor_config.json", "max_num_patches", 65536, "from 1 to 4096"),
        ("preprocessor_config.json", "max_num_patches", 0, "max_num_patches is 0"),
    ],
)
def test_what_is_not_supported_is_refused(
    file: str, key: str, value: Any, complaint: str, tmp_path: Path
) -> None:
    folder = hf_newer_checkpoints.naflex(tmp_path / "model")
    config = json.loads((folder / file).read_text())
    (config["vision_config"] if file == "config.json" else config)[key] = value
    (folder / file).write_text(json.dumps(config))
    with pytest.raises(unseen.ModelError, match=complaint):
        unseen.load(folder)


def test_patches_that_are_a_huge_picture_are_refused() -> None:
    with pytest.raises(unseen.ModelError, match="pixels that are allowed"):
        processors.from_naflex({"patch_size": 4096, "max_num_patches": 4096}, 4096, 16)
