"""AltCLIP and Chinese-CLIP, whose text nets are BERTs: our numbers against transformers'."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AltCLIPModel,
    BertTokenizer,
    ChineseCLIPModel,
    XLMRobertaTokenizer,
)
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import (
    ChineseCLIPImageProcessorPil,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import hf_checkpoints
import unseen
from judging import TEXTS, HfJudge, assert_close, differences

PARTS = {
    "altclip": (AltCLIPModel, CLIPImageProcessorPil, XLMRobertaTokenizer),
    "chinese_clip": (ChineseCLIPModel, ChineseCLIPImageProcessorPil, BertTokenizer),
}


def judge_of(folder: Path, family: str) -> HfJudge:
    model, processor, tokenizer_class = PARTS[family]
    tokenizer = tokenizer_class.from_pretrained(folder)
    return HfJudge(
        folder, model, processor, lambda texts: tokenizer(texts, padding=True, return_tensors="pt")
    )


@pytest.mark.parametrize(
    "shape", [{}, {"layers": 2, "heads": 5, "width": 80}], ids=["usual", "odd"]
)
@pytest.mark.parametrize("family", PARTS)
def test_families_agree_with_transformers(
    family: str, shape: dict[str, int], tmp_path: Path
) -> None:
    folder = getattr(hf_checkpoints, family)(tmp_path / family, **shape)
    assert_close(differences(folder, judge_of(folder, family), [*TEXTS, "一张猫的照片"]))


def test_altclip_as_it_was_published(tmp_path: Path) -> None:
    """transformers 5 calls the image net's layers otherwise than the published checkpoints do."""
    folder = hf_checkpoints.altclip(tmp_path / "altclip")
    path = folder / "model.safetensors"
    weights = load_file(path)
    published = {
        name.replace("vision_model.encoder.layer.", "vision_model.encoder.layers."): value
        for name, value in weights.items()
    }
    assert set(published) != set(weights)
    save_file(published, path, {"format": "pt"})
    assert_close(differences(folder, judge_of(folder, "altclip")))


def test_roberta_counts_its_positions_from_two(tmp_path: Path) -> None:
    """The trap of the position offset: the first token has the row after the padding token's."""
    folder = hf_checkpoints.altclip(tmp_path / "altclip")
    model = unseen.load(folder).model
    assert model.context_length == 62  # 64 rows, two of which no token has
    longest = " ".join(["cat"] * 100)  # cut by us, read whole by neither
    judge = judge_of(folder, "altclip")
    kept, cut = model.tokenizer.encode([longest], model.context_length)
    assert cut == [True] and len(kept[0]) == 62
    assert_close(differences(folder, judge, TEXTS))


def test_bert_has_token_types(tmp_path: Path) -> None:
    """The trap of BERT's token types: the row of type 0 is added to every token."""
    folder = hf_checkpoints.chinese_clip(tmp_path / "chinese_clip")
    model = ChineseCLIPModel.from_pretrained(folder)
    judge = judge_of(folder, "chinese_clip")
    before = judge.texts(TEXTS)
    types = model.text_model.embeddings.token_type_embeddings.weight
    types.data[0] += torch.linspace(-2, 2, types.shape[1])
    model.save_pretrained(folder)
    after = judge_of(folder, "chinese_clip")
    assert abs(after.texts(TEXTS) - before).max() > 1e-2  # it does matter
    assert_close(differences(folder, after))


def test_chinese_labels_get_a_chinese_template(tmp_path: Path) -> None:
    folder = hf_checkpoints.chinese_clip(tmp_path / "chinese_clip")
    assert unseen.load(folder).model.template == "一张{}的照片。"
