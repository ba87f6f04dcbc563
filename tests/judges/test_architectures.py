"""How many of open_clip's own architectures are read: counted from its list, at their true size.

No weights are made: the networks are open_clip's on torch's meta device, whose shapes and names are
what a reader goes by.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import open_clip
import pytest
import torch
from transformers import RobertaConfig, XLMRobertaConfig

from unseen.errors import ModelError
from unseen.models import processors
from unseen.models.conversion import importing
from unseen.models.families.openclip import settings
from unseen.models.families.openclip.image import image_tower
from unseen.models.families.openclip.text import text_tower
from unseen.models.weights.files import Weights

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
ENCODERS = {
    "roberta-base": RobertaConfig(),
    "xlm-roberta-base": XLMRobertaConfig(),
    "xlm-roberta-large": XLMRobertaConfig(**LARGE, intermediate_size=4096),
}
# Those that are not read, each for its reason in docs/models.md.
REFUSED = {
    *("nllb-clip-base", "nllb-clip-large", "nllb-clip-base-siglip", "nllb-clip-large-siglip"),
    *("mt5-base-ViT-B-32", "mt5-xl-ViT-H-14", "swin_base_patch4_window7_224"),
    "vit_relpos_medium_patch16_cls_224",
}


class Shapes:
    """The shapes of a model that has no numbers."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self._state = state

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._state[name].shape)

    def read(self, name: str) -> Any:
        raise AssertionError(f"{name} is read")


def model_of(config: dict[str, Any]) -> torch.nn.Module:
    whole = dict(config)
    custom = whole.pop("custom_text", False) or "hf_model_name" in whole["text_cfg"]
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    kind = open_clip.CoCa if "multimodal_cfg" in whole else kind
    whole["text_cfg"] = {**whole["text_cfg"], "hf_model_pretrained": False}
    encoder = ENCODERS.get(whole["text_cfg"].get("hf_model_name"))
    with (
        torch.device("meta"),
        mock.patch("open_clip.hf_model.AutoConfig.from_pretrained", lambda name: encoder),
    ):
        return kind(**whole)


def stored(rule: Any) -> list[str]:
    """The names, or beginnings of names, that a rule reads."""
    if isinstance(rule, str):
        return [rule]
    if isinstance(rule, tuple):
        return [name for item in rule for name in stored(item)]
    if is_dataclass(rule):
        return [name for f in fields(rule) for name in stored(getattr(rule, f.name))]
    return []


def read(name: str) -> None:
    """Both towers of an architecture: each name is in the weights, and each weight is used."""
    config = open_clip.get_model_config(name)
    vision = settings.tower(config, "vision_cfg", settings.VISION_DEFAULTS)
    text = settings.tower(config, "text_cfg", settings.TEXT_DEFAULTS)
    for kind, key in (("timm_model_name", vision), ("hf_model_name", text)):
        if key[kind]:
            settings.known(kind, key[kind])  # before a model is made
    state = model_of(config).state_dict()
    weights = Weights(name, dict.fromkeys(state, Shapes(state)))
    preprocess = processors.from_open_clip({}, settings.pair(vision["image_size"]))
    activation = "quick_gelu" if config.get("quick_gelu") else "gelu"
    towers = (
        image_tower(weights, vision, config["embed_dim"], activation, preprocess),
        text_tower(weights, text, config["embed_dim"], activation),
    )
    used = {theirs for tower in towers for rule in tower.names.values() for theirs in stored(rule)}
    for theirs in state:  # what is not read would be missed: scales, say, or a norm
        known = theirs in used or any(theirs.startswith(f"{stem}.") for stem in used)
        assert known or theirs.startswith(("logit_", "text_decoder.")), f"{theirs} is not used"
    for tower in towers:
        for theirs, shape in tower.shapes.items():
            assert tuple(state[theirs].shape) == shape, theirs
        for rule in tower.names.values():
            for theirs in stored(rule):
                known = theirs in state or any(n.startswith(f"{theirs}.") for n in state)
                assert known or theirs in ("weight", "bias"), (tower.kind, theirs)


@pytest.mark.parametrize("name", sorted(set(open_clip.list_models()) - REFUSED))
def test_an_architecture_is_read(name: str) -> None:
    read(name)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_not_read_is_refused_with_a_sentence(name: str) -> None:
    with pytest.raises(ModelError, match="not supported"):
        read(name)


def test_the_page_counts_them_and_names_the_rest() -> None:
    names = set(open_clip.list_models())
    assert names >= REFUSED and len(names - REFUSED) >= 133
    text = " ".join(PAGE.read_text("utf-8").split())
    count = re.search(
        r"Of the (\d+) architectures that open_clip [\d.]+ comes with, (\d+) are", text
    )
    assert count is not None
    assert (int(count[1]), int(count[2])) == (len(names), len(names - REFUSED))
    for name in REFUSED:
        assert f"`{name}`" in text, name
    own = {"LongCLIP-B", "LongCLIP-L"}
    assert set(importing.architectures()) == (names - REFUSED) | own
