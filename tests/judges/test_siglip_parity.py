"""SigLIP and SigLIP 2 checkpoints: our numbers against transformers' on the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Siglip2Tokenizer, SiglipModel, SiglipTokenizer
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import hf_checkpoints
import unseen
from judging import TEXTS, HfJudge, assert_close, differences, pictures
from unseen.prediction import score


def judge_of(folder: Path, context: int = 64, *, gemma: bool = False) -> HfJudge:
    tokenizer = (Siglip2Tokenizer if gemma else SiglipTokenizer).from_pretrained(folder)

    def tokenize(texts: list[str]) -> dict[str, object]:
        ids = tokenizer(
            texts,
            padding="max_length",
            padding_side="right",
            max_length=context,
            truncation=True,
            return_tensors="pt",
        )
        return {"input_ids": ids["input_ids"]}  # SigLIP was trained without a mask

    return HfJudge(folder, SiglipModel, SiglipImageProcessorPil, tokenize)


@pytest.mark.parametrize("shape", hf_checkpoints.SIGLIP_SHAPES)
def test_every_shape_agrees_with_transformers(shape: str, tmp_path: Path) -> None:
    folder = hf_checkpoints.siglip(tmp_path / shape, shape)
    text = hf_checkpoints.SIGLIP_SHAPES[shape].get("text", {})
    context = text.get("max_position_embeddings", 64)
    assert_close(differences(folder, judge_of(folder, context)))


def test_siglip2_agrees_with_transformers(tmp_path: Path) -> None:
    """Its text is lower-cased, and padded with another token."""
    folder = hf_checkpoints.siglip(tmp_path / "siglip2", gemma=True)
    texts = [*TEXTS, "A Photo Of A CAT", "a photo of a cat"]
    assert_close(differences(folder, judge_of(folder, gemma=True), texts))
    ours = unseen.load(folder)
    np.testing.assert_array_equal(*ours.encode_texts(texts[-2:]))


def test_texts_are_padded_to_64(tmp_path: Path) -> None:
    """The trap of open_clip issue 716: a shorter padding is another text to SigLIP."""
    folder = hf_checkpoints.siglip(tmp_path / "siglip")
    model = unseen.load(folder).model
    ids, _ = model.tokenizer.encode(["a cat"], model.context_length)
    padded, ends = model.text_inputs(ids)
    assert padded.shape == (1, 64) and ends.tolist() == [63]
    assert padded[0, len(ids[0]) :].tolist() == [1] * (64 - len(ids[0]))


def test_score_is_a_sigmoid_with_its_bias(tmp_path: Path) -> None:
    """The trap of a softmax: the labels of a picture may all be wrong, or several right."""
    folder = hf_checkpoints.siglip(tmp_path / "siglip")
    ours, judge = unseen.load(folder), judge_of(folder)
    labels = ["a cat", "a dog", "x"]
    wanted = 1 / (1 + np.exp(-judge.logits(pictures(), labels).astype(np.float64)))
    for picture, row in zip(pictures(), wanted, strict=True):
        ranked = {r["label"]: r["score"] for r in ours.classify(picture, labels, template="{}")}
        np.testing.assert_allclose([ranked[label] for label in labels], row, atol=1e-4)
    assert ours.model.score.bias == pytest.approx(-2.5)
    assert not np.allclose(wanted.sum(1), 1)
    np.testing.assert_allclose(score.sigmoid(np.float32([0])), 0.5)


def test_the_attention_pool_head_has_query_key_and_value_in_this_order(tmp_path: Path) -> None:
    """The trap of the head's packed weights: the thirds of `in_proj` are not the same thing."""
    folder = hf_checkpoints.siglip(tmp_path / "siglip")
    right = unseen.load(folder).encode_images(pictures())
    np.testing.assert_allclose(right, judge_of(folder).images(pictures()), atol=1e-5)
    model = SiglipModel.from_pretrained(folder)
    head = model.vision_model.head.attention
    for packed in (head.in_proj_weight, head.in_proj_bias):
        query, key, value = packed.data.clone().chunk(3)
        packed.data.copy_(torch.cat([query, value, key]))
    model.save_pretrained(folder)
    wrong = unseen.load(folder).encode_images(pictures())
    assert np.abs(wrong - right).max() > 1e-3
    np.testing.assert_allclose(wrong, judge_of(folder).images(pictures()), atol=1e-5)


@pytest.mark.parametrize(
    "text",
    ["a photo of a cat.", "A  Photo\tof: a_cat!", 'it\'s (a) "cat"', "  ", "1,000 cats & dogs"],
)
def test_texts_are_cleaned_as_siglip_does(text: str, tmp_path: Path) -> None:
    folder = hf_checkpoints.siglip(tmp_path / "siglip")
    ids, _ = unseen.load(folder).model.tokenizer.encode([text])
    assert ids[0] == SiglipTokenizer.from_pretrained(folder)(text)["input_ids"]
