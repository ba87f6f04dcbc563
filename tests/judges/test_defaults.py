"""What a config leaves out: our defaults are those of transformers' own classes.

No checkpoint of the other tests leaves anything out, as save_pretrained writes every key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from transformers import (
    AlignConfig,
    AltCLIPConfig,
    ChineseCLIPConfig,
    CLIPConfig,
    CLIPSegConfig,
    MetaClip2Config,
    PreTrainedConfig,
    Siglip2Config,
    SiglipConfig,
    Tipsv2Config,
)

from unseen.models.families import align, altclip, clip, hf_bert, hf_vision, siglip, tipsv2

# Who has them → ours of the two towers.
TOWERS: dict[type[PreTrainedConfig], tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    AlignConfig: (align.VISION_DEFAULTS, hf_bert.DEFAULTS),
    AltCLIPConfig: (hf_vision.DEFAULTS, altclip.TEXT_DEFAULTS),
    ChineseCLIPConfig: (hf_vision.DEFAULTS, hf_bert.DEFAULTS),
    CLIPConfig: (hf_vision.DEFAULTS, clip.TEXT_DEFAULTS),
    CLIPSegConfig: (hf_vision.DEFAULTS, clip.TEXT_DEFAULTS),
    MetaClip2Config: (hf_vision.DEFAULTS, clip.TEXT_DEFAULTS),
    Siglip2Config: (siglip.NAFLEX_DEFAULTS, siglip.TEXT_DEFAULTS),
    SiglipConfig: (siglip.VISION_DEFAULTS, siglip.TEXT_DEFAULTS),
    Tipsv2Config: (tipsv2.VISION_DEFAULTS, tipsv2.TEXT_DEFAULTS),
}


@pytest.mark.parametrize("kind", TOWERS)
def test_defaults_are_those_of_transformers(kind: type[PreTrainedConfig]) -> None:
    config = kind()
    for theirs, ours in zip((config.vision_config, config.text_config), TOWERS[kind], strict=True):
        # None is what follows from another key; SigLIP's vision_use_head is in no class.
        stated = {k for k, v in ours.items() if v is not None and k != "vision_use_head"}
        found = {key: getattr(theirs, key) for key in stated}
        plain = {k: tuple(v) if isinstance(v, list) else v for k, v in found.items()}
        assert plain == {key: ours[key] for key in stated}
