"""CLIP checkpoints: our numbers against transformers' on the same files.

Tolerances: embeddings (length 1) 1e-5 for the reference runtime, 1e-4 for ONNX fp32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import checkpoints
import unseen
from unseen import score
from unseen.runtimes import reference

REFERENCE, ONNX = 1e-5, 1e-4

TEXTS = [
    "a photo of a cat",
    "a photo of a dog",
    "x",
    "a bad photo of many, many things: 1,000 labels & 80 templates",
    "NAÏVE Café 猫 🎉",
    "",
]


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(5)
    sizes = [(320, 240), (97, 203), (224, 224), (700, 90)]
    smooth = [rng.integers(0, 256, (7, 9, 3), dtype=np.uint8) for _ in sizes]
    return [
        Image.fromarray(s).resize(size, Image.Resampling.BICUBIC)
        for s, size in zip(smooth, sizes, strict=True)
    ]


class Judge:
    """transformers on a checkpoint folder."""

    def __init__(self, folder: Path) -> None:
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = CLIPImageProcessorPil.from_pretrained(folder)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def images(self, images: list[Image.Image]) -> np.ndarray[Any, Any]:
        pixels = self.processor(images, return_tensors="pt")
        return unit(self.model.get_image_features(**pixels).pooler_output)

    def ids(self, texts: list[str]) -> Any:
        return self.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")

    @torch.no_grad()
    def texts(self, texts: list[str]) -> np.ndarray[Any, Any]:
        return unit(self.model.get_text_features(**self.ids(texts)).pooler_output)

    @torch.no_grad()
    def logits(self, images: list[Image.Image], texts: list[str]) -> np.ndarray[Any, Any]:
        inputs = {**self.ids(texts), **self.processor(images, return_tensors="pt")}
        return self.model(**inputs).logits_per_image.numpy()


def unit(rows: torch.Tensor) -> np.ndarray[Any, Any]:
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


def differences(folder: Path) -> dict[str, float]:
    """The largest absolute difference of each kind."""
    judge, ours = Judge(folder), unseen.load(folder)
    model, images = ours.model, pictures()
    pixels = np.stack([model.preprocess(image) for image in images])
    ids, _ = model.tokenizer.encode(TEXTS, model.context_length)
    wanted_images, wanted_texts = judge.images(images), judge.texts(TEXTS)
    mine, said = ours.encode_images(images), ours.encode_texts(TEXTS)
    logits = score.logits(score.cosines(mine, said), model.score)

    def largest(a: Any, b: Any) -> float:
        assert a.shape == b.shape
        return float(np.abs(a - b).max())

    return {
        "image, onnx": largest(mine, wanted_images),
        "text, onnx": largest(said, wanted_texts),
        "image, reference": largest(reference.run(model.image_network(), pixels), wanted_images),
        "text, reference": largest(
            reference.run(model.text_network(), *model.text_inputs(ids)), wanted_texts
        ),
        "logits": largest(logits, judge.logits(images, TEXTS)) / model.score.scale,
    }


def assert_close(found: dict[str, float]) -> None:
    limits = {k: REFERENCE if k.endswith("reference") else ONNX for k in found}
    assert {k: v for k, v in found.items() if v > limits[k]} == {}, found


@pytest.mark.parametrize("shape", checkpoints.SHAPES)
def test_every_shape_agrees_with_transformers(shape: str, tmp_path: Path) -> None:
    assert_close(differences(checkpoints.clip(tmp_path / shape, shape)))


def test_text_is_read_at_its_largest_id_where_an_old_config_says_two(tmp_path: Path) -> None:
    folder = checkpoints.clip(tmp_path / "legacy", legacy_end=True)
    assert_close(differences(folder))


def test_text_is_read_at_the_first_end_token_even_if_a_larger_id_comes_before(
    tmp_path: Path,
) -> None:
    """The two rules differ here: the end token is not the largest id."""
    folder = checkpoints.clip(tmp_path / "low-end")
    config = CLIPModel.from_pretrained(folder).config
    letter = CLIPTokenizer.from_pretrained(folder).convert_tokens_to_ids("t</w>")
    config.text_config.eos_token_id = letter
    config.save_pretrained(folder)
    texts = ["a t b", "t", "no such letter"]  # the last has none: its first token is read
    judge, ours = Judge(folder), unseen.load(folder)
    np.testing.assert_allclose(ours.encode_texts(texts), judge.texts(texts), atol=ONNX)


def test_quick_gelu_and_gelu_are_told_apart(tmp_path: Path) -> None:
    """The trap of two published papers: the same weights under the other activation."""
    quick = checkpoints.clip(tmp_path / "quick", hidden_act="quick_gelu")
    exact = checkpoints.clip(tmp_path / "exact", hidden_act="gelu")
    assert_close(differences(quick))
    assert_close(differences(exact))
    a, b = (unseen.load(f).encode_images(pictures()) for f in (quick, exact))
    assert np.abs(a - b).max() > 1e-3


def test_old_config_dicts_overrule(tmp_path: Path) -> None:
    """Early checkpoints have `vision_config_dict` beside `vision_config`; the dict counts."""
    import json

    folder = checkpoints.clip(tmp_path / "dicts")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["vision_config_dict"] = dict(config["vision_config"])
    config["vision_config"]["hidden_act"] = "gelu"
    path.write_text(json.dumps(config))
    assert CLIPModel.from_pretrained(folder).config.vision_config.hidden_act == "quick_gelu"
    assert_close(differences(folder))


def test_a_picture_has_the_same_vector_alone_and_in_a_batch(tmp_path: Path) -> None:
    ours = unseen.load(checkpoints.clip(tmp_path / "batch"))
    together = ours.encode_images(pictures(), batch_size=4)
    alone = np.concatenate([ours.encode_images([p]) for p in pictures()])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


@pytest.mark.full_size
def test_the_whole_b32_agrees_with_transformers(tmp_path: Path) -> None:
    folder = checkpoints.clip(
        tmp_path / "B32",
        layers=12,
        width=768,
        heads=12,
        dimension=512,
        text={"hidden_size": 512, "intermediate_size": 2048, "num_attention_heads": 8},
    )
    assert_close(differences(folder))
