"""The registry of families: one row each, which the hub, the catalogue's tests and the docs read.

A family is a file of this package with `read(checkpoint, config)`, which turns a checkpoint's own
config and names of weights into a `Model`. It is imported when one of its checkpoints is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from unseen.errors import ModelError
from unseen.models.checkpoint import HF_CONFIG, OPEN_CLIP_CONFIG, Checkpoint, read_json

if TYPE_CHECKING:
    from unseen.models.model import Model

DISTILLED_SUFFIX = ".onnx"


@dataclass(frozen=True)
class Family:
    """One row of the registry.

    Parameters
    ----------
    name : str
        `Model.family`, the `family` of rows in data/models.json, and the module in this package.
    title : str
        How docs/models.md calls it.
    model_types : tuple of str
        What its checkpoints have as `model_type` in config.json.
    config_file : str
        Which config is its own; the weights that belong to it are in `checkpoint.WEIGHTS`.
    examples : tuple of str
        Ids of the hub, or patterns of them with *, for the docs and their tests.
    """

    name: str
    title: str
    model_types: tuple[str, ...] = ()
    config_file: str = HF_CONFIG
    examples: tuple[str, ...] = ()


FAMILIES = (
    Family(
        "clip",
        "CLIP, MetaCLIP 2",
        ("clip", "metaclip_2"),
        examples=("openai/clip-*", "facebook/metaclip-2-*"),
    ),
    Family(
        "siglip",
        "SigLIP, SigLIP 2, FG-CLIP 2",
        ("siglip", "siglip2", "fgclip2"),
        examples=("google/siglip-*", "google/siglip2-*", "qihoo360/fg-clip2-*"),
    ),
    Family("tipsv2", "TIPS v2", ("tipsv2",), examples=("google/tipsv2-*",)),
    Family("altclip", "AltCLIP, also m18", ("altclip",), examples=("BAAI/AltCLIP",)),
    Family("chinese_clip", "Chinese-CLIP", ("chinese_clip",), examples=("OFA-Sys/chinese-clip-*",)),
    Family("align", "ALIGN", ("align",), examples=("kakaobrain/align-base",)),
    Family("clipseg", "CLIPSeg's CLIP", ("clipseg",), examples=("CIDAS/clipseg-rd64-refined",)),
    Family(
        "openclip",
        "OpenCLIP's format",
        config_file=OPEN_CLIP_CONFIG,
        examples=("timm/*_clip*", "timm/ViT-*-SigLIP*"),
    ),
    Family("joined", "two halves of two checkpoints", ("unseen-joined",)),
    Family("builtin", "the built-in model", ("unseen-builtin",), examples=("builtin",)),
    Family("distilled", "a classifier of `unseen distil`"),
)


def of_model_type(model_type: object) -> Family | None:
    """The family whose checkpoints say this in their config.json."""
    return next((family for family in FAMILIES if model_type in family.model_types), None)


def read(checkpoint: Checkpoint) -> Model:
    """The model that a checkpoint's own config describes.

    Parameters
    ----------
    checkpoint : Checkpoint
        As `hub.locate` gives it.

    Returns
    -------
    Model
        Weights are read later, when a network is built.

    Raises
    ------
    ModelError
        When no family reads it, or its files are missing, damaged or not supported.
    """
    if checkpoint.file is not None:
        return _read("distilled", checkpoint, {})
    config = read_json(checkpoint, checkpoint.config_file)
    if checkpoint.config_file != HF_CONFIG:
        (family,) = (f for f in FAMILIES if f.config_file == checkpoint.config_file)
        return _read(family.name, checkpoint, config)
    model_type = config.get("model_type")
    by_type = of_model_type(model_type)
    if by_type is None:
        supported = sorted(t for family in FAMILIES for t in family.model_types)
        raise ModelError(
            f"{checkpoint.name}: config.json says model_type {model_type!r}, which is not "
            f"supported; supported are {', '.join(supported)}."
        )
    return _read(by_type.name, checkpoint, config)


def _read(name: str, checkpoint: Checkpoint, config: dict[str, Any]) -> Model:
    model: Model = import_module(f"{__name__}.{name}").read(checkpoint, config)
    return model
