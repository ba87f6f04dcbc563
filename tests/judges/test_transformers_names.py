"""`unseen.transformers` beside transformers: the same calls, the same arrays, the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import (
    ChineseCLIPImageProcessorPil,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

import checkpoints
import hf_checkpoints
import judging
import unseen
import unseen.transformers as ours

TEXTS = ["a photo of a cat", "a photo of many things, and more", "x"]
CLOSE = {"atol": 1e-4, "rtol": 1e-4}


class Case:
    """A checkpoint, transformers' classes for it, and what its texts are padded to."""

    def __init__(
        self,
        name: str,
        make: Callable[[Path], Path],
        model: Any,
        image_processor: Any,
        padding: Any = True,
    ) -> None:
        self.name, self.make, self.padding = name, make, padding
        self.model, self.image_processor = model, image_processor


CASES = [
    Case("CLIP", checkpoints.clip, transformers.CLIPModel, CLIPImageProcessorPil),
    Case(
        "CLIP of old configs",
        lambda folder: checkpoints.clip(folder, "odd", legacy_end=True),
        transformers.CLIPModel,
        CLIPImageProcessorPil,
    ),
    Case(
        "SigLIP",
        hf_checkpoints.siglip,
        transformers.SiglipModel,
        SiglipImageProcessorPil,
        "max_length",
    ),
    Case("AltCLIP", hf_checkpoints.altclip, transformers.AltCLIPModel, CLIPImageProcessorPil),
    Case(
        "Chinese-CLIP",
        hf_checkpoints.chinese_clip,
        transformers.ChineseCLIPModel,
        ChineseCLIPImageProcessorPil,
    ),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def folder(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return case.make(tmp_path_factory.mktemp(case.name.replace(" ", "-")) / "checkpoint")


@pytest.fixture(scope="module")
def theirs(case: Case, folder: Path) -> tuple[Any, Any]:
    """Their model and processor."""
    model = case.model.from_pretrained(folder, dtype=torch.float32).eval()
    processor = transformers.AutoProcessor.from_pretrained(
        folder, image_processor=case.image_processor.from_pretrained(folder)
    )
    processor.image_processor = case.image_processor.from_pretrained(folder)
    return model, processor


@pytest.fixture(scope="module")
def mine(folder: Path) -> tuple[Any, Any]:
    """The same of this package."""
    return ours.AutoModel.from_pretrained(folder), ours.AutoProcessor.from_pretrained(folder)


def test_a_processor_gives_the_same_arrays(case: Case, theirs: Any, mine: Any) -> None:
    arguments = {"text": TEXTS, "images": judging.pictures(), "padding": case.padding}
    expected = theirs[1](**arguments, return_tensors="pt")
    for kind in ("pt", "np"):
        inputs = mine[1](**arguments, return_tensors=kind)
        assert set(inputs) == set(expected)
        for name, value in expected.items():
            assert tuple(inputs[name].shape) == tuple(value.shape)
            assert str(inputs[name].dtype).removeprefix("torch.") == str(value.dtype)[6:]
            np.testing.assert_allclose(np.asarray(inputs[name]), value.numpy(), atol=1e-5)
            assert isinstance(inputs[name], torch.Tensor if kind == "pt" else np.ndarray)


def test_texts_are_cut_and_padded_alike(case: Case, theirs: Any, mine: Any) -> None:
    for texts in ("one text", [*TEXTS, "long " * 300]):
        for options in (
            {"padding": case.padding, "truncation": True, "max_length": 40},
            {"padding": "max_length", "max_length": 12, "truncation": True},
        ):
            expected = theirs[1].tokenizer(texts, return_tensors="pt", **options)
            inputs = mine[1].tokenizer(texts, return_tensors="pt", **options)
            assert set(inputs) == set(expected)
            for name, value in expected.items():
                assert torch.equal(inputs[name], value), (name, options)
    assert mine[1].tokenizer("a cat")["input_ids"] == theirs[1].tokenizer("a cat")["input_ids"]
    assert mine[1].tokenizer(TEXTS)["input_ids"] == theirs[1].tokenizer(TEXTS)["input_ids"]


def test_a_model_gives_the_same_numbers(case: Case, theirs: Any, mine: Any) -> None:
    arguments = {"text": TEXTS, "images": judging.pictures(), "padding": case.padding}
    with torch.no_grad():
        expected = theirs[0](**theirs[1](**arguments, return_tensors="pt"))
    for kind in ("pt", "np"):
        outputs = mine[0](**mine[1](**arguments, return_tensors=kind))
        for name in ("logits_per_image", "logits_per_text", "image_embeds", "text_embeds"):
            wanted = expected[name].numpy()
            scale = np.abs(wanted).max() if name.startswith("logits") else 1
            np.testing.assert_allclose(np.asarray(outputs[name]) / scale, wanted / scale, atol=1e-4)
        probabilities = outputs.logits_per_image.softmax(dim=1).numpy()
        wanted = expected.logits_per_image.softmax(dim=1).numpy()
        np.testing.assert_allclose(probabilities, wanted, atol=1e-3)


def test_features_are_the_same_before_they_have_length_1(
    case: Case, theirs: Any, mine: Any
) -> None:
    (model, processor), pictures = mine, judging.pictures()
    images = theirs[1](images=pictures, return_tensors="pt")
    texts = theirs[1](text=TEXTS, padding=case.padding, return_tensors="pt")
    with torch.no_grad():
        expected = theirs[0].get_image_features(**images).pooler_output.numpy()
        text_expected = theirs[0].get_text_features(**texts).pooler_output.numpy()
    assert np.abs(np.linalg.norm(expected, axis=-1) - 1).max() > 0.01  # else this says little
    for kind in ("pt", "np"):
        features = model.get_image_features(**processor(images=pictures, return_tensors=kind))
        np.testing.assert_allclose(np.asarray(features), expected, **CLOSE)
        np.testing.assert_allclose(np.asarray(features.pooler_output), expected, **CLOSE)
        inputs = processor(text=TEXTS, padding=case.padding, return_tensors=kind)
        np.testing.assert_allclose(
            np.asarray(model.get_text_features(**inputs)), text_expected, **CLOSE
        )


def test_pixels_of_their_own_processors_are_taken(case: Case, theirs: Any, mine: Any) -> None:
    """The one of Pillow, and the default, which is torchvision's."""
    text = mine[1](text=TEXTS, padding=case.padding, return_tensors="pt")
    ours_too = mine[1](images=judging.pictures(), return_tensors="pt")["pixel_values"]
    scale, _ = mine[0].encoder.model.preprocess.normalisation()
    level = torch.tensor(scale).reshape(1, 3, 1, 1)  # of one grey level
    fast = transformers.AutoImageProcessor.from_pretrained(mine[0].encoder.options.model)
    for processor in (theirs[1].image_processor, fast):
        pixels = processor(judging.pictures(), return_tensors="pt")["pixel_values"]
        difference = (pixels - ours_too).abs() / level
        # torchvision rounds between its two passes by itself: a few pixels differ by two levels.
        assert difference.max() <= 2.001
        assert (difference > 1.001).float().mean() < 1e-3
        with torch.no_grad():
            expected = theirs[0](**text, pixel_values=pixels).image_embeds.numpy()
        outputs = mine[0](**text, pixel_values=pixels)
        np.testing.assert_allclose(outputs.image_embeds.numpy(), expected, atol=1e-4)


def test_siglip_padded_to_the_longest_gives_what_transformers_gives_and_says_so(
    tmp_path: Path,
) -> None:
    folder = hf_checkpoints.siglip(tmp_path / "siglip")
    processor, model = (
        ours.AutoProcessor.from_pretrained(folder),
        ours.SiglipModel.from_pretrained(folder),
    )
    inputs = processor(text=TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = transformers.SiglipModel.from_pretrained(folder).get_text_features(**inputs)
    with pytest.warns(unseen.UnseenWarning, match="max_length"):
        features = model.get_text_features(**inputs)
    np.testing.assert_allclose(features.numpy(), expected.pooler_output.numpy(), **CLOSE)
    mask = torch.ones_like(inputs["input_ids"])
    mask[0, -1] = 0
    with pytest.raises(unseen.LabelError, match="attention_mask"):
        model.get_text_features(**inputs, attention_mask=mask)


def test_a_picture_from_an_open_file_and_a_tensor_with_channels_first(
    case: Case, mine: Any
) -> None:
    with Path("examples/cat.jpg").open("rb") as file:
        one = mine[1](images=Image.open(file), return_tensors="np")["pixel_values"]
    again = mine[1](images="examples/cat.jpg", return_tensors="np")["pixel_values"]
    array = np.asarray(Image.open("examples/cat.jpg"))
    tensor = torch.from_numpy(array.transpose(2, 0, 1).copy())
    first = mine[1](images=[tensor], return_tensors="np")["pixel_values"]
    for other in (again, first, mine[1](images=array, return_tensors="np")["pixel_values"]):
        np.testing.assert_array_equal(one, other)
