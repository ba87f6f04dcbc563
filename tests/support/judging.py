"""Holding a checkpoint against the library that saved it: what every test in judges/ shares.

Tolerances, on embeddings of length 1 and on probabilities: 1e-5 for the reference runtime, 1e-4 for
ONNX in fp32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

import unseen
from unseen.prediction import score
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

Rows = np.ndarray[Any, Any]


class Judge(Protocol):
    """A checkpoint in the hands of its own library; embeddings have length 1."""

    def images(self, images: list[Image.Image]) -> Rows: ...

    def texts(self, texts: list[str]) -> Rows: ...

    def logits(self, images: list[Image.Image], texts: list[str]) -> Rows:
        """(pictures, texts)."""


class HfJudge:
    """transformers on a checkpoint folder. `tokenize`: texts → the text model's arguments."""

    def __init__(
        self, folder: Path, model: Any, processor: Any, tokenize: Callable[[list[str]], Any]
    ) -> None:
        self.model = model.from_pretrained(folder, dtype=torch.float32).eval()
        self.processor = processor.from_pretrained(folder)
        self.tokenize = tokenize

    @torch.no_grad()
    def images(self, images: list[Image.Image]) -> Rows:
        pixels = self.processor(images, return_tensors="pt")
        return unit(self.model.get_image_features(**pixels).pooler_output)

    @torch.no_grad()
    def texts(self, texts: list[str]) -> Rows:
        return unit(self.model.get_text_features(**self.tokenize(texts)).pooler_output)

    @torch.no_grad()
    def logits(self, images: list[Image.Image], texts: list[str]) -> Rows:
        inputs = {**self.tokenize(texts), **self.processor(images, return_tensors="pt")}
        return self.model(**inputs).logits_per_image.numpy()


def unit(rows: torch.Tensor) -> Rows:
    return torch.nn.functional.normalize(rows, dim=-1).numpy()


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(5)
    sizes = [(320, 240), (97, 203), (224, 224), (700, 90)]
    smooth = [rng.integers(0, 256, (7, 9, 3), dtype=np.uint8) for _ in sizes]
    return [
        Image.fromarray(s).resize(size, Image.Resampling.BICUBIC)
        for s, size in zip(smooth, sizes, strict=True)
    ]


def differences(folder: Path, judge: Judge, texts: Sequence[str] = TEXTS) -> dict[str, float]:
    """The largest absolute difference of each kind."""
    ours = unseen.load(folder)
    model, images, texts = ours.model, pictures(), list(texts)
    arrays = model.image_inputs([model.preprocess(image) for image in images])
    ids, _ = model.tokenizer.encode(texts, model.context_length)
    wanted_images, wanted_texts = judge.images(images), judge.texts(texts)
    mine, said = ours.encode_images(images), ours.encode_texts(texts)
    cosines, wanted_logits = score.cosines(mine, said), judge.logits(images, texts)
    rule = score.RULES[model.score.rule]

    def largest(a: Any, b: Any) -> float:
        assert a.shape == b.shape
        return float(np.abs(a - b).max())

    return {
        "image, onnx": largest(mine, wanted_images),
        "text, onnx": largest(said, wanted_texts),
        "image, reference": largest(reference.run(model.image_network(), *arrays), wanted_images),
        "text, reference": largest(
            reference.run(model.text_network(), *model.text_inputs(ids)), wanted_texts
        ),
        "logits": largest(score.logits(cosines, model.score), wanted_logits) / model.score.scale,
        "probabilities": largest(score.single_label(cosines, model.score), rule(wanted_logits)),
    }


def assert_close(found: dict[str, float]) -> None:
    limits = {k: REFERENCE if k.endswith("reference") else ONNX for k in found}
    assert {k: v for k, v in found.items() if v > limits[k]} == {}, found


def clip_judge(folder: Path) -> HfJudge:
    """transformers on a CLIP checkpoint."""
    from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return HfJudge(
        folder,
        CLIPModel,
        CLIPImageProcessorPil,
        lambda texts: tokenizer(texts, padding=True, truncation=True, return_tensors="pt"),
    )
