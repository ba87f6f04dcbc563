"""Configs of OpenCLIP's format whose image net is a ViT of EVA's or Perception Encoder's kind, or
whose text net is read in another way: open_clip's own, with narrow text nets."""

from __future__ import annotations

from typing import Any

Config = dict[str, Any]


def timm(name: str, size: int, pool: str, **text: Any) -> Config:
    """A tower of timm's beside a text net of CLIP's."""
    return {
        "custom_text": True,
        "vision_cfg": {
            "image_size": size,
            "timm_model_name": name,
            "timm_model_pretrained": False,
            "timm_pool": pool,
            "timm_proj": None,
        },
        "text_cfg": text,
    }


# By the name of open_clip's config.
PE_CORE = {
    "PE-Core-T-16-384": timm("vit_pe_core_tiny_patch16_384", 384, "map", context_length=32),
    "PE-Core-S-16-384": timm("vit_pe_core_small_patch16_384", 384, "map", context_length=32),
    "PE-Core-B-16": timm("vit_pe_core_base_patch16_224", 224, "map", context_length=32),
    "PE-Core-L-14-336": timm("vit_pe_core_large_patch14_336", 336, "map", context_length=32),
    "PE-Core-bigG-14-448": timm("vit_pe_core_gigantic_patch14_448", 448, "map", context_length=72),
}
EVA = {
    "EVA01-g-14": timm("eva_giant_patch14_224", 224, "token"),
    "EVA02-B-16": timm("eva02_base_patch16_clip_224", 224, "token"),
    "EVA02-L-14": timm("eva02_large_patch14_clip_224", 224, "token"),
    "EVA02-L-14-336": timm("eva02_large_patch14_clip_336", 336, "token"),
    "EVA02-E-14": timm("eva02_enormous_patch14_clip_224", 224, "token"),
}
# A text net that sees its padding, and is read at the largest id.
SEES_PADDING: Config = {
    "custom_text": True,
    "vision_cfg": {},
    "text_cfg": {"no_causal_mask": True},
}
COCA: Config = {
    "custom_text": True,
    "vision_cfg": {"attentional_pool": True, "attn_pooler_heads": 8, "output_tokens": True},
    "text_cfg": {"context_length": 76, "embed_cls": True, "output_tokens": True},
    "multimodal_cfg": {"context_length": 76, "width": 48, "heads": 3, "layers": 1},
}
