"""ALIGN checkpoints: our numbers against transformers' on the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from transformers import AlignModel, BertTokenizer
from transformers.models.efficientnet.image_processing_pil_efficientnet import (
    EfficientNetImageProcessorPil,
)

import hf_checkpoints
import unseen
from judging import TEXTS, HfJudge, assert_close, differences, pictures


def judge_of(folder: Path) -> HfJudge:
    tokenizer = BertTokenizer.from_pretrained(folder)
    return HfJudge(
        folder,
        AlignModel,
        EfficientNetImageProcessorPil,
        lambda texts: tokenizer(texts, padding=True, return_tensors="pt"),
    )


def rewrite(path: Path, **changes: Any) -> None:
    """`None` takes a key away."""
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


@pytest.mark.parametrize("shape", hf_checkpoints.ALIGN_SHAPES)
def test_every_shape_agrees_with_transformers(shape: str, tmp_path: Path) -> None:
    folder = hf_checkpoints.align(tmp_path / shape, shape)
    assert_close(differences(folder, judge_of(folder)))


@pytest.mark.parametrize("side", [96, 97, 98, 99])
def test_padding_does_not_depend_on_the_side(side: int, tmp_path: Path) -> None:
    """The trap of TensorFlow's SAME, whose padding does; and the odd pixels are at the end."""
    folder = hf_checkpoints.align(tmp_path / "align")
    rewrite(folder / "preprocessor_config.json", crop_size={"height": side, "width": side + 1})
    assert_close(differences(folder, judge_of(folder)))


@pytest.mark.parametrize(
    "settings",
    [
        {"rescale_offset": True, "include_top": False, "do_normalize": True},
        {"rescale_offset": False, "include_top": True, "do_normalize": False},
        {"rescale_offset": True, "include_top": True, "do_rescale": False, "do_normalize": True},
        dict.fromkeys(("rescale_offset", "include_top", "do_normalize", "rescale_factor")),
    ],
    ids=["offset", "top alone", "no rescaling, so no offset", "left out"],
)
def test_what_becomes_of_a_pixel(settings: dict[str, Any], tmp_path: Path) -> None:
    """The traps of its processor: an offset that is no mean, and a deviation that counts twice."""
    folder = hf_checkpoints.align(tmp_path / "align")
    path = folder / "preprocessor_config.json"
    rewrite(path, image_mean=[0.1, 0.5, 0.7], image_std=[0.7, 0.8, 0.9], **settings)
    pixels = np.stack([p.resize((346, 346), 2).crop((28, 28, 317, 317)) for p in pictures()])
    scale, shift = unseen.load(folder).model.preprocess.normalisation()
    wanted = judge_of(folder).processor(pictures(), return_tensors="np")["pixel_values"]
    ours = np.moveaxis(pixels * np.float32(scale) + np.float32(shift), 3, 1)
    # A grey level of 255 without rescaling is large: relative.
    np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-5)


def test_the_size_is_that_of_the_processor(tmp_path: Path) -> None:
    """The trap of the published config, which says 600."""
    folder = hf_checkpoints.align(tmp_path / "align")
    assert AlignModel.from_pretrained(folder).config.vision_config.image_size == 600
    image_network = unseen.load(folder).model.image_network()
    assert image_network.inputs[0].shape == (None, 289, 289, 3)


def test_a_logit_is_the_cosine_over_the_temperature(tmp_path: Path) -> None:
    """The trap of CLIP's logit_scale, which is the logarithm of a factor."""
    folder = hf_checkpoints.align(tmp_path / "align", "odd")
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["temperature"].fill_(0.4)
    save_file(weights, path, {"format": "pt"})
    assert unseen.load(folder).model.score.scale == pytest.approx(2.5)
    assert_close(differences(folder, judge_of(folder)))


def test_text_does_not_pass_berts_pooler(tmp_path: Path) -> None:
    """The trap of a pooler that is in the weights and in no embedding."""
    folder = hf_checkpoints.align(tmp_path / "align", "odd")
    before = unseen.load(folder).encode_texts(TEXTS)
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["text_model.pooler.dense.weight"].fill_(1)
    save_file(weights, path, {"format": "pt"})
    np.testing.assert_array_equal(unseen.load(folder).encode_texts(TEXTS), before)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pooling_type": "max"}, "pools by 'max'"),
        ({"strides": [1, 3, 2, 2]}, "strides is "),
        ({"strides": [1, 2, 2]}, "stages of several numbers"),
        ({"kernel_sizes": [5, 3, 5, 5]}, "disagree"),
        ({"depth_coefficient": 1.0}, "disagree"),
        ({"hidden_act": "mish"}, "activation 'mish'"),
    ],
)
def test_a_config_that_is_not_understood_is_refused(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    folder = hf_checkpoints.align(tmp_path / "align", "odd")
    path = folder / "config.json"
    vision = {**json.loads(path.read_text())["vision_config"], **changes}
    rewrite(path, vision_config=vision)
    with pytest.raises(unseen.ModelError, match=words):
        unseen.load(folder).model.image_network()
