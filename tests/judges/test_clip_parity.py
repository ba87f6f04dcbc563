"""CLIP checkpoints: our numbers against transformers' on the same files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import CLIPModel, CLIPTokenizer

import checkpoints
import unseen
from judging import ONNX, assert_close, clip_judge, pictures
from judging import differences as differences_to


def differences(folder: Path) -> dict[str, float]:
    return differences_to(folder, clip_judge(folder))


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
    path = folder / "vocab.json"
    ids = json.loads(path.read_text("utf-8"))
    ids[checkpoints.END], ids["t</w>"] = ids["t</w>"], ids[checkpoints.END]
    path.write_text(json.dumps(ids), "utf-8")
    config = CLIPModel.from_pretrained(folder).config
    config.text_config.eos_token_id = ids[checkpoints.END]
    config.save_pretrained(folder)
    texts = ["a t b", "t", "no such letter"]
    assert max(CLIPTokenizer.from_pretrained(folder)("t").input_ids) == ids["t</w>"]
    judge, ours = clip_judge(folder), unseen.load(folder)
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
