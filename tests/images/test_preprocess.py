"""Pixels: ours against transformers' CLIPImageProcessor (the Pillow one), within one grey level."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pytest
from PIL import Image
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import unseen
import unseen.images.preprocess
from unseen.errors import ModelError
from unseen.images.preprocess import TwoViews, resize_window
from unseen.models.processors import CLIP_DEFAULTS, from_hugging_face

SIZES = [
    (1, 1), (1, 2000), (2000, 1), (223, 223), (225, 225), (224, 224), (223, 225), (225, 223),
    (224, 500), (500, 224), (37, 1000), (1000, 37), (640, 480), (480, 640), (2500, 1900),
    (300, 5200), (5200, 300), (17, 400), (3, 2), (1023, 767),
]  # fmt: skip

CONFIGS: dict[str, dict[str, Any]] = {
    "clip": {},
    "no crop, exact size": {"do_center_crop": False, "size": {"height": 224, "width": 224}},
    "crop larger than the resized": {"size": {"shortest_edge": 200}},
    "odd crop": {"size": {"shortest_edge": 301}},
    "bilinear": {"resample": 2},
    "lanczos": {"resample": 1},
    "numbers, as feature extractors had them": {"size": 224, "crop_size": 224},
    "not normalised": {"do_normalize": False},
    "not rescaled": {"do_rescale": False},
    "other colours": {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.2, 0.1]},
}


def noise(size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(size[0] * 7919 + size[1])
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def theirs(image: Image.Image, config: dict[str, Any]) -> np.ndarray[Any, Any]:
    named = {k: v for k, v in config.items() if k != "size" or not isinstance(v, int)}
    if isinstance(config.get("size"), int):
        named["size"] = {"shortest_edge": config["size"]}
    processor = CLIPImageProcessorPil(**named)
    return processor(image, return_tensors="np")["pixel_values"][0]


def levels(image: Image.Image, config: dict[str, Any]) -> float:
    """The largest difference to transformers, in grey levels."""
    preprocess = from_hugging_face(config, CLIP_DEFAULTS, 224)
    scale, shift = (np.array(v)[:, None, None] for v in preprocess.normalisation())
    mine = preprocess(image).transpose(2, 0, 1) * scale + shift
    return float((np.abs(mine - theirs(image, config)) / scale).max())


OLD_PILLOW = int(PIL.__version__.split(".")[0]) < 13


def most_levels(size: tuple[int, int]) -> float:
    """Old Pillow resizes tall pictures in the other order: in noise, a few pixels are off by 12."""
    return 12.001 if OLD_PILLOW and size[1] >= 4 * size[0] else 1.001


@pytest.mark.parametrize("size", SIZES)
def test_every_odd_size_within_one_level(size: tuple[int, int]) -> None:
    assert levels(noise(size), {}) <= most_levels(size)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_setting_within_one_level(config: str) -> None:
    for size in [(320, 240), (150, 610), (199, 60)]:
        assert levels(noise(size), CONFIGS[config]) <= 1.001


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "P", "1", "YCbCr", "LAB", "HSV"])
def test_every_mode_that_both_read(mode: str) -> None:
    image = noise((300, 250)).convert(mode)
    upright = unseen.open_image(image)
    assert levels(upright, {}) <= 1.001
    assert np.abs(theirs(upright, {}) - theirs(image, {})).max() == 0


@pytest.mark.parametrize("size", [(30_000, 10), (10, 30_000), (1, 100_000), (100_000, 1)])
def test_an_aspect_bomb_costs_nothing(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "red")
    start = time.thread_time()
    pixels = from_hugging_face({}, CLIP_DEFAULTS, 224)(image)
    views = TwoViews(260)(image)
    assert time.thread_time() - start < 2.0  # resized whole it takes over ten
    assert (pixels == (255, 0, 0)).all()
    assert (views[1] == (255, 0, 0)).all()


@pytest.mark.parametrize("size", [(900, 61), (61, 900), (400, 300)])
def test_a_window_is_the_whole_resized_and_cropped(size: tuple[int, int]) -> None:
    image, new = noise(size), (size[0] * 2 // 3, size[1] * 2 // 3)
    window = (new[0] // 2 - 12, new[1] // 2 - 9, new[0] // 2 + 12, new[1] // 2 + 9)
    bicubic = Image.Resampling.BICUBIC
    whole = np.asarray(image.resize(new, bicubic).crop(window)).astype(int)
    ours = np.asarray(resize_window(image, new, window, bicubic)).astype(int)
    off = np.abs(whole - ours)
    assert off.max() <= most_levels(size)
    assert (off > 1).mean() < 0.01


def test_two_views_are_the_whole_on_white_and_the_centre() -> None:
    image = Image.new("RGB", (400, 200), "blue")
    whole, centre = TwoViews(100)(image)
    assert (whole[:24] == 255).all() and (whole[26:74] == (0, 0, 255)).all()
    assert (centre == (0, 0, 255)).all()


@pytest.mark.parametrize(
    "config",
    [
        {"crop_size": {"height": 200, "width": 200}},
        {"do_center_crop": False},
        {"size": {"longest_edge": 224}},
        {"do_pad": True},
    ],
)
def test_a_processor_that_does_not_fit_the_network_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="preprocessor_config"):
        from_hugging_face(config, CLIP_DEFAULTS, 224)


def test_its_text_is_that_which_an_index_holds(shapes_clip: Path) -> None:
    """A row of an index is found again by this text: 0.1.0 wrote it so."""
    assert str(unseen.load().model.preprocess) == "TwoViews(side=260)"
    assert str(unseen.load(shapes_clip).model.preprocess) == (
        "Preprocess(shortest=64, exact=None, crop=(64, 64), resample=<Resampling.BICUBIC: 3>, "
        "cover=None, inside=None, round_crop=False, mean=(0.48145466, 0.4578275, 0.40821073), "
        "std=(0.26862954, 0.26130258, 0.27577711), rescale_factor=0.00392156862745098)"
    )


def test_no_vendor_is_named_where_it_is_done() -> None:
    """Whose defaults they are is a matter of models/processors."""
    text = Path(unseen.images.preprocess.__file__).read_text("utf-8")
    assert not re.search(r"_config\.json|DEFAULTS|EfficientNet|Siglip|preprocess_cfg", text)
