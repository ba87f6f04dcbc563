"""Upright RGB pixels → the uint8 tensor a network takes: resize, crop; what it is normalised by.

The arithmetic (x · rescale_factor - mean) / std is left to the network, which folds it into its
first layer: pixels stay a byte each until then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.errors import ModelError

Channels = tuple[float, float, float]

# What transformers' CLIPImageProcessor takes for a key that preprocessor_config.json leaves out.
CLIP_DEFAULTS: dict[str, Any] = {
    "do_resize": True,
    "size": {"shortest_edge": 224},
    "resample": Image.Resampling.BICUBIC,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
# The same of its SiglipImageProcessor.
SIGLIP_DEFAULTS = CLIP_DEFAULTS | {
    "size": {"height": 224, "width": 224},
    "do_center_crop": False,
    "image_mean": (0.5, 0.5, 0.5),
    "image_std": (0.5, 0.5, 0.5),
}
# The same of its ViTImageProcessor, to which one number is the side of a square.
VIT_DEFAULTS = SIGLIP_DEFAULTS | {
    "resample": Image.Resampling.BILINEAR,
    "default_to_square": True,
}
# The same of its EfficientNetImageProcessor.
EFFICIENTNET_DEFAULTS = SIGLIP_DEFAULTS | {
    "size": {"height": 346, "width": 346},
    "crop_size": {"height": 289, "width": 289},
    "default_to_square": True,
    "rescale_offset": False,
    "include_top": True,
}
# What OpenCLIP takes for a key that its preprocess_cfg leaves out.
OPEN_CLIP_DEFAULTS: dict[str, Any] = {
    "mode": "RGB",
    "mean": CLIP_DEFAULTS["image_mean"],
    "std": CLIP_DEFAULTS["image_std"],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}
OPEN_CLIP_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "random": Image.Resampling.BICUBIC,  # random while training only
}

# A picture is resized whole and then cropped up to so many times the pixels that are kept; of a
# longer one (a panorama of 16:1, an attack of 30000:1) only what is kept is ever resized.
WHOLE_RATIO = 16
SUPPORT = 3.0  # pixels that a filter reaches to either side; Lanczos has the most


@dataclass(frozen=True)
class Preprocess:
    """Resize the shortest edge (or to `exact`), cut out the centre, keep the bytes.

    `shortest`: the short side after resizing; `exact`: (height, width) instead; `cover` and
    `inside`: as small, or as large, as covers or fits in (height, width), the shape kept; none of
    them: no resizing. `crop`: (height, width) cut from the centre, padded with black where the
    picture is smaller; None keeps all of it. `round_crop`: half a pixel goes to the even side, as
    torchvision has it; else it is dropped, as transformers has it.
    """

    shortest: int | None
    exact: tuple[int, int] | None
    crop: tuple[int, int] | None
    resample: Image.Resampling
    cover: tuple[int, int] | None = None
    inside: tuple[int, int] | None = None
    round_crop: bool = False
    mean: Channels = (0.0, 0.0, 0.0)
    std: Channels = (1.0, 1.0, 1.0)
    rescale_factor: float = 1.0

    @classmethod
    def from_hf_config(
        cls, config: dict[str, Any], defaults: dict[str, Any], image_size: int | None
    ) -> Preprocess:
        """Read a preprocessor_config.json; `defaults` are those of the family's own processor.

        ModelError when what comes out would not be image_size × image_size, the network's input;
        None is for a network that takes pictures of any one size.
        """
        c = {**defaults, **config}
        size = c["size"] if c["do_resize"] else {}
        if isinstance(size, int):
            keys = ("height", "width") if c.get("default_to_square") else ("shortest_edge",)
            size = dict.fromkeys(keys, size)
        crop = c["crop_size"] if c["do_center_crop"] else None
        if isinstance(crop, int):
            crop = {"height": crop, "width": crop}
        unknown = set(size) - {"shortest_edge", "height", "width"}
        if unknown or c.get("do_pad"):
            raise ModelError(f"preprocessor_config.json resizes in an unsupported way: {config}.")
        shortest = size.get("shortest_edge")
        exact = (size["height"], size["width"]) if "height" in size else None
        output = (crop["height"], crop["width"]) if crop else exact
        if output is None:
            raise ModelError(
                "preprocessor_config.json keeps the shape of pictures, and the network takes "
                "pictures of one size."
            )
        if image_size is not None and output != (image_size, image_size):
            raise ModelError(
                f"preprocessor_config.json makes pictures of {output}, and the network takes "
                f"{image_size} × {image_size}."
            )
        return cls(
            shortest=shortest,
            exact=exact,
            crop=(crop["height"], crop["width"]) if crop else None,
            resample=Image.Resampling(c["resample"]),
            mean=tuple(c["image_mean"]) if c["do_normalize"] else cls.mean,
            std=tuple(c["image_std"]) if c["do_normalize"] else cls.std,
            rescale_factor=float(c["rescale_factor"]) if c["do_rescale"] else cls.rescale_factor,
        )

    @classmethod
    def from_efficientnet(cls, config: dict[str, Any]) -> Preprocess:
        """Read a preprocessor_config.json of EfficientNetImageProcessor, for a net of any size.

        It has two steps of its own: `rescale_offset` takes 1 off when it rescales, `include_top`
        divides by the deviation once more, or for the first time where nothing is normalised.
        """
        c = {**EFFICIENTNET_DEFAULTS, **config}
        plain = cls.from_hf_config(config, EFFICIENTNET_DEFAULTS, image_size=None)
        offset = 1.0 if c["do_rescale"] and c["rescale_offset"] else 0.0
        again = _channels(c["image_std"] if c["include_top"] else 1.0)
        return replace(
            plain,
            mean=_channels([m + offset for m in plain.mean]),
            std=_channels([s * a for s, a in zip(plain.std, again, strict=True)]),
        )

    @classmethod
    def from_open_clip(cls, config: dict[str, Any], image_size: tuple[int, int]) -> Preprocess:
        """Read a `preprocess_cfg`; `image_size` is the network's, (height, width), and counts.

        ModelError for what is not supported.
        """
        c = OPEN_CLIP_DEFAULTS | {k: v for k, v in config.items() if v is not None}
        mode, (height, width) = c["resize_mode"], image_size
        known = (
            mode in ("shortest", "longest", "squash") and c["interpolation"] in OPEN_CLIP_FILTERS
        )
        if not known or c["mode"] != "RGB" or (mode == "longest" and c["fill_color"] != 0):
            raise ModelError(f"open_clip_config.json resizes in an unsupported way: {config}.")
        shortest = height if mode == "shortest" and height == width else None
        return cls(
            shortest=shortest,
            exact=image_size if mode == "squash" else None,
            cover=image_size if mode == "shortest" and shortest is None else None,
            inside=image_size if mode == "longest" else None,
            crop=None if mode == "squash" else image_size,
            # For a picture that is not square OpenCLIP resizes with its default filter.
            resample=OPEN_CLIP_FILTERS[
                c["interpolation"] if shortest or mode != "shortest" else "bicubic"
            ],
            round_crop=True,
            mean=_channels(c["mean"]),
            std=_channels(c["std"]),
            rescale_factor=1 / 255,
        )

    @property
    def output(self) -> tuple[int, int] | None:
        """(height, width) of what comes out; None when that is not the same for all pictures."""
        return self.crop or self.exact

    @property
    def target(self) -> int:
        """The short side that is wanted: a decoder may stop at a multiple of it."""
        wanted = self.exact or self.cover or self.inside or self.crop
        return self.shortest or max(wanted or (1 << 30,))

    def normalisation(self) -> tuple[Channels, Channels]:
        """Of a byte x in each channel: (scale, shift) with x·scale + shift the network's input."""
        r, g, b = (self.rescale_factor / s for s in self.std)
        shift_r, shift_g, shift_b = (-m / s for m, s in zip(self.mean, self.std, strict=True))
        return (r, g, b), (shift_r, shift_g, shift_b)

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """RGB picture → uint8 (height, width, 3)."""
        width, height = self._resized(image.size)
        if self.crop is None:
            return np.asarray(image.resize((width, height), self.resample))
        crop_height, crop_width = self.crop
        left, top = self._middle(width - crop_width), self._middle(height - crop_height)
        window = (left, top, left + crop_width, top + crop_height)
        if width * height <= WHOLE_RATIO * crop_width * crop_height:
            whole = image if image.size == (width, height) else None
            whole = whole or image.resize((width, height), self.resample)
            return np.asarray(whole.crop(window))
        return np.asarray(resize_window(image, (width, height), window, self.resample))

    def _middle(self, spare: int) -> int:
        """Where the window begins, of the pixels that are too many or, below zero, too few."""
        if not self.round_crop:
            return spare // 2
        return round(spare / 2) if spare >= 0 else -(-spare // 2)

    def _resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """(width, height) after resizing; the longer side of `shortest` is rounded down."""
        width, height = size
        if self.exact is not None:
            return self.exact[1], self.exact[0]
        if (box := self.cover or self.inside) is not None:
            ratios = height / box[0], width / box[1]
            ratio = min(ratios) if self.cover else max(ratios)
            return max(1, round(width / ratio)), max(1, round(height / ratio))
        if self.shortest is None:
            return size
        if width <= height:
            return self.shortest, int(self.shortest * height / width)
        return int(self.shortest * width / height), self.shortest


def _channels(value: float | Sequence[float]) -> Channels:
    """One number for all three, or three."""
    r, g, b = (value,) * 3 if isinstance(value, (int, float)) else value
    return r, g, b


def resize_window(
    image: Image.Image,
    size: tuple[int, int],
    window: tuple[int, int, int, int],
    resample: Image.Resampling,
) -> Image.Image:
    """`image.resize(size, resample).crop(window)`, without the pixels outside the window.

    What sticks out of `size` is black, as with `crop`. The two passes come in the order that
    Pillow 13 takes for the whole, so that overshoot is rounded alike.
    """
    (width, height), (new_width, new_height) = image.size, size
    x = _span(width, new_width, window[0], window[2])
    y = _span(height, new_height, window[1], window[3])
    piece = image.crop((x.first, y.first, x.last, y.last))

    def across(p: Image.Image) -> Image.Image:
        return p.resize((x.count, p.height), resample, (x.start, 0, x.stop, p.height))

    def down(p: Image.Image) -> Image.Image:
        return p.resize((p.width, y.count), resample, (0, y.start, p.width, y.stop))

    down_first = height > new_height and height - new_height > 2 * (width - new_width)
    resized = across(down(piece)) if down_first else down(across(piece))
    left, top = min(window[0], 0), min(window[1], 0)
    return resized.crop((left, top, left + window[2] - window[0], top + window[3] - window[1]))


@dataclass(frozen=True)
class _Span:
    """Along one side: which old pixels are read, and where in them the new ones lie."""

    first: int
    last: int
    start: float
    stop: float
    count: int


def _span(old: int, new: int, start: int, stop: int) -> _Span:
    start, stop = max(start, 0), min(stop, new)
    scale = old / new
    reach = SUPPORT * max(scale, 1.0) + 1
    first = max(0, math.floor(start * scale - reach))
    last = min(old, math.ceil(stop * scale + reach))
    return _Span(first, last, start * scale - first, stop * scale - first, stop - start)


@dataclass(frozen=True)
class TwoViews:
    """The built-in model's two looks at a picture: all of it on white, and its centre square."""

    side: int

    # The embedding keeps the most probable classes and drops the others, a step that one grey level
    # can flip: cosine 0.9989 even where a JPEG is decoded at six times the size.
    target = None

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]:
        """RGB picture → uint8 (2, side, side, 3)."""
        side, (width, height) = self.side, image.size
        longest, shortest = max(width, height), min(width, height)
        fitted = (max(1, width * side // longest), max(1, height * side // longest))
        whole = Image.new("RGB", (side, side), "white")
        place = ((side - fitted[0]) // 2, (side - fitted[1]) // 2)
        whole.paste(image.resize(fitted, Image.Resampling.BICUBIC), place)
        left, top = (width - shortest) / 2, (height - shortest) / 2
        box = (left, top, left + shortest, top + shortest)
        centre = image.resize((side, side), Image.Resampling.BICUBIC, box)
        return np.stack([np.asarray(whole), np.asarray(centre)])
