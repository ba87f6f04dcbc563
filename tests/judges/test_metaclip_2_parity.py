"""MetaCLIP 2 checkpoints: our numbers against transformers' on the same files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer, CLIPImageProcessorPil, MetaClip2Model

import hf_newer_checkpoints
import unseen
from judging import TEXTS, HfJudge, assert_close, differences
from unseen.runtimes import reference

TEXTS_OF_THE_WORLD = [*TEXTS, "Ein Photo einer KATZE", "猫 狗 鸟"]


def judge_of(folder: Path) -> HfJudge:
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def tokenize(texts: list[str]) -> dict[str, object]:
        ids = tokenizer(
            texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        )
        return {"input_ids": ids["input_ids"]}

    return HfJudge(folder, MetaClip2Model, CLIPImageProcessorPil, tokenize)


@pytest.mark.parametrize("kind", hf_newer_checkpoints.METACLIP_2)
def test_every_kind_agrees_with_transformers(kind: str, tmp_path: Path) -> None:
    folder = hf_newer_checkpoints.metaclip_2(tmp_path / "model", kind)
    assert_close(differences(folder, judge_of(folder), TEXTS_OF_THE_WORLD))


@pytest.mark.parametrize(("kind", "end"), [("worldwide", 2), ("mt5-worldwide", 1)])
def test_the_end_token_is_what_the_config_says_also_two(
    kind: str, end: int, tmp_path: Path
) -> None:
    """The trap of CLIP's early configs: there, eos_token_id 2 means the largest id."""
    folder = hf_newer_checkpoints.metaclip_2(tmp_path / "model", kind)
    model = unseen.load(folder).model
    ids, _ = model.tokenizer.encode(["a photo of a cat"], model.context_length)
    batch, ends = model.text_inputs(ids)
    assert ids[0][ends[0]] == end and max(ids[0]) > end
    network = model.text_network()
    right = reference.run(network, batch, ends)
    wrong = reference.run(network, batch, np.array([int(np.argmax(ids[0]))]))
    assert np.abs(right - wrong).max() > 1e-3


def test_texts_keep_their_capital_letters(tmp_path: Path) -> None:
    """The trap of CLIP's own tokenizer, which lower-cases."""
    ours = unseen.load(hf_newer_checkpoints.metaclip_2(tmp_path / "model"))
    small, capital = ours.encode_texts(["a cat", "A CAT"])
    assert np.abs(small - capital).max() > 1e-3
