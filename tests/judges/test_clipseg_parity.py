"""The CLIP inside CLIPSeg checkpoints: our numbers against transformers' on the same files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from transformers import CLIPSegModel, CLIPTokenizer
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

import hf_checkpoints
import unseen
from judging import HfJudge, assert_close, differences


def judge_of(folder: Path) -> HfJudge:
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    return HfJudge(
        folder,
        CLIPSegModel,
        ViTImageProcessorPil,
        lambda texts: tokenizer(texts, padding=True, truncation=True, return_tensors="pt"),
    )


def rewrite_processor(folder: Path, **changes: object) -> None:
    path = folder / "preprocessor_config.json"
    settings = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))


@pytest.mark.parametrize("shape", hf_checkpoints.CLIPSEG_SHAPES)
def test_every_shape_agrees_with_transformers(shape: str, tmp_path: Path) -> None:
    folder = hf_checkpoints.clipseg(tmp_path / shape, shape)
    assert_close(differences(folder, judge_of(folder)))


def test_its_clip_alone_has_no_prefix_and_the_same_vectors(tmp_path: Path) -> None:
    alone = hf_checkpoints.clipseg(tmp_path / "alone", "odd", whole=False)
    whole = hf_checkpoints.clipseg(tmp_path / "whole", "odd")
    names = [set(load_file(folder / "model.safetensors")) for folder in (alone, whole)]
    assert "logit_scale" in names[0] and "decoder.reduces.0.weight" not in names[0]
    assert {f"clip.{name}" for name in names[0]} < names[1]
    assert_close(differences(alone, judge_of(alone)))


def test_positions_are_stretched_to_the_picture(tmp_path: Path) -> None:
    """The trap of the published ones: a table of 14 × 14 positions, pictures of 22 × 22 patches."""
    folder = hf_checkpoints.clipseg(tmp_path / "clipseg")
    config = json.loads((folder / "config.json").read_text())["vision_config"]
    model = unseen.load(folder).model
    assert config["image_size"] == 224 and model.image_network().inputs[0].shape[1:3] == (352, 352)


def test_one_number_is_a_square_to_its_processor(tmp_path: Path) -> None:
    """The trap of older files: to CLIP's processor `"size": 90` is the shortest edge."""
    folder = hf_checkpoints.clipseg(tmp_path / "clipseg", "as-clip")
    rewrite_processor(folder, size=90)
    assert_close(differences(folder, judge_of(folder)))


def test_what_the_processor_leaves_out_is_as_vit_has_it(tmp_path: Path) -> None:
    """The trap of CLIP's defaults: ViT's have another filter, mean and deviation, and no crop."""
    folder = hf_checkpoints.clipseg(tmp_path / "clipseg", "as-clip")
    left_out = ("size", "resample", "image_mean", "image_std", "do_rescale", "do_normalize")
    rewrite_processor(folder, **dict.fromkeys(left_out))
    assert_close(differences(folder, judge_of(folder)))


def test_pictures_that_keep_their_shape_are_refused(tmp_path: Path) -> None:
    """Without a crop each would have another number of patches."""
    folder = hf_checkpoints.clipseg(tmp_path / "clipseg", "as-clip")
    rewrite_processor(folder, size={"shortest_edge": 90})
    with pytest.raises(unseen.ModelError, match="pictures of one size"):
        unseen.load(folder)


def test_text_is_read_at_its_largest_id_where_an_old_config_says_two(tmp_path: Path) -> None:
    folder = hf_checkpoints.clipseg(tmp_path / "legacy", "as-clip")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["text_config"]["eos_token_id"] = 2
    path.write_text(json.dumps(config))
    assert_close(differences(folder, judge_of(folder)))
