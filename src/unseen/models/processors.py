"""How other libraries write down what is done to a picture → `Preprocess`.

Each processor has defaults for the keys that a config leaves out; a family says whose they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from unseen.errors import ModelError
from unseen.images.patches import Patches
from unseen.images.preprocess import Channels, Preprocess
from unseen.models import config_values as values
from unseen.models.config_values import FLAG, OBJECT, SIDE, TEXT, number, several, shown

Config = Mapping[str, Any]

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
# The same of its Siglip2ImageProcessor, which makes patches of the picture's own shape.
NAFLEX_DEFAULTS: dict[str, Any] = {
    key: SIGLIP_DEFAULTS[key]
    for key in ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")
} | {
    "do_resize": True,
    "resample": Image.Resampling.BILINEAR,
    "patch_size": 16,
    "max_num_patches": 256,
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

FILE = "preprocessor_config.json"
SIDES = {"height", "width"}
MEAN, STD = number(-1e6, 1e6), number(1e-6, 1e6)
# What the keys of either may say.
KINDS: dict[str, values.Kind] = {
    "size": values.either(SIDE, OBJECT),
    "crop_size": values.either(SIDE, OBJECT),
    "resample": values.Kind(
        f"one of {', '.join(f'{f.value} ({f.name.lower()})' for f in sorted(Image.Resampling))}",
        lambda v: not isinstance(v, (bool, float)) and v in [*Image.Resampling],
    ),
    "rescale_factor": number(1e-6, 1e6),
    "image_mean": several(3, MEAN),
    "image_std": several(3, STD),
    "patch_size": SIDE,
    "max_num_patches": values.whole(1, 4096),
    **dict.fromkeys(("do_resize", "do_center_crop", "do_rescale", "do_normalize"), FLAG),
    **dict.fromkeys(("default_to_square", "rescale_offset", "include_top"), FLAG),
}
# The steps, and what each is told.
STEPS = {
    "do_resize": ("size", "resample"),
    "do_center_crop": ("crop_size",),
    "do_rescale": ("rescale_factor",),
    "do_normalize": ("image_mean", "image_std"),
}
NAFLEX_STEPS = {
    "do_resize": ("resample", "patch_size", "max_num_patches"),
    "do_rescale": STEPS["do_rescale"],
    "do_normalize": STEPS["do_normalize"],
}
LARGEST_PICTURE = 4096**2  # pixels
OPEN_CLIP_KINDS: dict[str, values.Kind] = {
    **dict.fromkeys(("mode", "interpolation", "resize_mode"), TEXT),
    "mean": values.either(MEAN, several(3, MEAN)),
    "std": values.either(STD, several(3, STD)),
    "fill_color": values.either(number(0, 255), several(3, number(0, 255))),
}


def from_hugging_face(config: Config, defaults: Config, image_size: int | None) -> Preprocess:
    """Read a preprocessor_config.json of transformers.

    Parameters
    ----------
    config : mapping
        What the file says.
    defaults : mapping
        Those of the family's own processor, such as `CLIP_DEFAULTS`.
    image_size : int or None
        The side that the network takes, in pixels; None for a network that takes pictures of any
        one size.

    Returns
    -------
    Preprocess

    Raises
    ------
    ModelError
        When the file makes pictures of another size, or resizes in a way that is not supported.
    """
    c = _settings(config, defaults)
    size = c["size"] if c["do_resize"] else {}
    if isinstance(size, int):
        keys = ("height", "width") if c.get("default_to_square") else ("shortest_edge",)
        size = dict.fromkeys(keys, size)
    crop = c["crop_size"] if c["do_center_crop"] else None
    if isinstance(crop, int):
        crop = {"height": crop, "width": crop}
    known = set(size) in ({"shortest_edge"}, SIDES) or not c["do_resize"]
    if not known or config.get("do_pad"):
        raise ModelError(f"{FILE} resizes in an unsupported way: {shown(dict(config))}.")
    size = values.checked(size, dict.fromkeys(size, SIDE), f"{FILE}: size")
    crop = crop and values.checked(crop, dict.fromkeys(sorted(SIDES), SIDE), f"{FILE}: crop_size")
    exact = (size["height"], size["width"]) if "height" in size else None
    output = (crop["height"], crop["width"]) if crop else exact
    if output is None:
        raise ModelError(
            "preprocessor_config.json keeps the shape of pictures, and the network takes pictures "
            "of one size."
        )
    if image_size is not None and output != (image_size, image_size):
        raise ModelError(
            f"preprocessor_config.json makes pictures of {output}, and the network takes "
            f"{image_size} × {image_size}."
        )
    return Preprocess(
        shortest=size.get("shortest_edge"),
        exact=exact,
        crop=(crop["height"], crop["width"]) if crop else None,
        resample=Image.Resampling(c["resample"] if c["do_resize"] else defaults["resample"]),
        mean=tuple(c["image_mean"]) if c["do_normalize"] else Preprocess.mean,
        std=tuple(c["image_std"]) if c["do_normalize"] else Preprocess.std,
        rescale_factor=(
            float(c["rescale_factor"]) if c["do_rescale"] else Preprocess.rescale_factor
        ),
    )


def _settings(
    config: Config, defaults: Config, steps: Mapping[str, tuple[str, ...]] = STEPS
) -> dict[str, Any]:
    """What the file says, each value of its kind. Null: no, or nothing for a step that is not made.

    transformers writes nulls of steps that a processor does not have.
    """
    kinds = {key: values.optional(KINDS[key]) for key in defaults}
    c = values.checked({**defaults, **config}, kinds, FILE)
    for step, keys in steps.items():
        if c[step]:
            values.checked(c, {key: KINDS[key] for key in keys}, FILE)
    return c


def from_efficientnet(config: Config) -> Preprocess:
    """Read a preprocessor_config.json of EfficientNetImageProcessor, for a net of any size.

    It has two steps of its own: `rescale_offset` takes 1 off when it rescales, `include_top`
    divides by the deviation once more, or for the first time where nothing is normalised.
    """
    c = _settings(config, EFFICIENTNET_DEFAULTS)
    plain = from_hugging_face(config, EFFICIENTNET_DEFAULTS, image_size=None)
    offset = 1.0 if c["do_rescale"] and c["rescale_offset"] else 0.0
    if c["include_top"]:
        values.checked(c, {"image_std": KINDS["image_std"]}, FILE)
    divisors = _channels(c["image_std"] if c["include_top"] else 1.0)
    return replace(
        plain,
        mean=_channels([m + offset for m in plain.mean]),
        std=_channels([s * d for s, d in zip(plain.std, divisors, strict=True)]),
    )


def from_naflex(config: Config, patch: int, side: int) -> Patches:
    """Read a preprocessor_config.json of Siglip2ImageProcessor.

    Parameters
    ----------
    config : mapping
        What the file says.
    patch : int
        The side of the network's patches, in pixels.
    side : int
        Of its square of positions.

    Returns
    -------
    Patches

    Raises
    ------
    ModelError
        When the file makes other patches, or does not resize.
    """
    c = _settings(config, NAFLEX_DEFAULTS, NAFLEX_STEPS)
    if not c["do_resize"]:
        raise ModelError(f"{FILE} keeps the size of pictures, which is not supported.")
    if c["patch_size"] != patch:
        raise ModelError(
            f"{FILE} makes patches of {c['patch_size']} pixels, and the network takes {patch}."
        )
    count = c["max_num_patches"]
    if count * patch**2 > LARGEST_PICTURE:
        raise ModelError(
            f"{FILE}: {count} patches of {patch} × {patch} pixels are more than the "
            f"{LARGEST_PICTURE} pixels that are allowed."
        )
    return Patches(
        count,
        patch,
        side,
        Image.Resampling(c["resample"]),
        mean=_channels(c["image_mean"]) if c["do_normalize"] else Preprocess.mean,
        std=_channels(c["image_std"]) if c["do_normalize"] else Preprocess.std,
        rescale_factor=(
            float(c["rescale_factor"]) if c["do_rescale"] else Preprocess.rescale_factor
        ),
    )


def from_open_clip(config: Config, image_size: tuple[int, int]) -> Preprocess:
    """Read a `preprocess_cfg` of OpenCLIP.

    Parameters
    ----------
    config : mapping
        What the file says; a null is a key left out.
    image_size : (int, int)
        (height, width) of the network, in pixels, which overrules the file.

    Returns
    -------
    Preprocess

    Raises
    ------
    ModelError
        For what is not supported.
    """
    # OpenCLIP takes `mean or its default`, so that the number 0 is no mean either, three zeros are.
    given = OPEN_CLIP_DEFAULTS | {k: v for k, v in config.items() if v not in (None, 0)}
    c = values.checked(given, OPEN_CLIP_KINDS, "open_clip_config.json: preprocess_cfg")
    mode, (height, width) = c["resize_mode"], image_size
    known = mode in ("shortest", "longest", "squash") and c["interpolation"] in OPEN_CLIP_FILTERS
    if not known or c["mode"] != "RGB" or (mode == "longest" and c["fill_color"] != 0):
        raise ModelError(f"open_clip_config.json resizes in an unsupported way: {shown(c)}.")
    shortest = height if mode == "shortest" and height == width else None
    return Preprocess(
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


def _channels(value: float | Sequence[float]) -> Channels:
    """One number for all three channels, or three."""
    r, g, b = (value,) * 3 if isinstance(value, (int, float)) else value
    return r, g, b
