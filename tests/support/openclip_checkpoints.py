"""Checkpoints in OpenCLIP's own format: random weights, saved by open_clip itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import open_clip
import timm
from open_clip.model import set_model_preprocess_cfg
from open_clip.push_to_hf_hub import save_for_hf
from open_clip.transform import PreprocessCfg
from timm.models.vitamin import VitCfg, VitConvCfg
from transformers import AutoTokenizer, BertConfig, XLMRobertaConfig

import checkpoints
import hf_checkpoints

SMALL = {"layers": 2, "width": 48, "head_width": 16, "patch_size": 14, "image_size": 70}
TEXT = {"context_length": 77, "width": 48, "heads": 3, "layers": 2}
TOWERS = {"xlm-roberta-base": XLMRobertaConfig, "bert-base-uncased": BertConfig}
BIOMEDBERT = "microsoft/BiomedNLP-PubMedBERT-base-uncased-abstract"
TOWERS[BIOMEDBERT] = BertConfig

Config = dict[str, Any]

VITAMIN = VitCfg(
    embed_dim=(16, 32, 48),
    depths=(2, 2, 1),
    stem_width=16,
    conv_cfg=VitConvCfg(norm_layer="layernorm2d", norm_eps=1e-6),
    head_type="1d",
)
# What makes a tower of timm small, by the beginning of its name; "" is a ViT.
SMALL_TIMM: dict[str, Config] = {
    "vit_pe_core_base": {"depth": 2, "embed_dim": 96},
    "vit_pe_core_large": {"depth": 2, "embed_dim": 128},
    "vit_pe_core_gigantic": {"depth": 2, "embed_dim": 64},
    "eva02_base": {"depth": 2, "embed_dim": 96},
    "eva02_large": {"depth": 2, "embed_dim": 128},
    "eva02_enormous": {"depth": 2, "embed_dim": 112},
    "convnext": {"depths": (1, 2, 3, 1), "dims": (16, 24, 40, 48)},
    "fastvit_mci3": {"layers": (1, 1, 2, 1, 2), "embed_dims": (8, 16, 32, 64, 128)},
    "fastvit": {"layers": (1, 2, 1, 2), "embed_dims": (8, 16, 32, 64)},
    "vitamin": {"depth": 2, "embed_dim": 48, "embed_cfg": VITAMIN},
    "vit_base_mci": {"depth": 2},
    "": {"depth": 2, "embed_dim": 48},
}

CONVNEXT = {"timm_pool": "", "timm_proj": "linear", "timm_drop": 0.0, "timm_drop_path": 0.1}

FASTVIT = {"timm_pool": "avg", "timm_proj": None, "timm_drop": 0.0, "timm_drop_path": 0.0}

# model_cfg of each kind; what a test does not say is as OpenCLIP has it.
KINDS: dict[str, Config] = {
    "vit": {"vision_cfg": {}},
    "quickgelu": {"quick_gelu": True, "vision_cfg": {}},
    "odd": {
        "vision_cfg": {"head_width": 12, "width": 60, "image_size": [42, 84], "mlp_ratio": 2.5},
        "text_cfg": {"width": 40, "heads": 5, "context_length": 90},
    },
    "norms": {
        "custom_text": True,
        "vision_cfg": {"norm_kwargs": {"eps": 1e-3}, "act_kwargs": {"approximate": "tanh"}},
        "text_cfg": {"norm_kwargs": {"eps": 1e-2}, "proj_bias": True},
    },
    "clipa": {
        "vision_cfg": {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
        "text_cfg": {
            "context_length": 32,
            "hf_tokenizer_name": "bert",
            "tokenizer_kwargs": {"strip_sep_token": True},
            "pool_type": "last",
            "no_causal_mask": True,
        },
    },
    "resnet": {
        "vision_cfg": {
            "layers": [1, 2, 1, 1],
            "width": 8,
            "head_width": 32,
            "image_size": 64,
            "patch_size": None,
        }
    },
    "resnet, odd": {
        "quick_gelu": True,
        "vision_cfg": {
            "layers": [2, 1, 2, 1],
            "width": 10,
            "head_width": 64,
            "image_size": 96,
            "patch_size": None,
        },
    },
    "timm clip": {
        "vision_cfg": {
            "timm_model_name": "vit_base_patch32_clip_224",
            "timm_pool": "token",
            "timm_proj": None,
        }
    },
    "timm clip quickgelu": {
        "vision_cfg": {
            "timm_model_name": "vit_base_patch32_clip_quickgelu_224",
            "timm_pool": "token",
            "timm_proj": "",
        }
    },
    "siglip": {
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "image_size": 224,
            "timm_model_name": "vit_base_patch16_siglip_224",
            "timm_pool": "map",
            "timm_proj": "none",
        },
        "text_cfg": {
            "context_length": 64,
            "hf_tokenizer_name": "siglip",
            "tokenizer_kwargs": {"clean": "canonicalize"},
            "width": 48,
            "heads": 4,
            "no_causal_mask": True,
            "proj_bias": True,
            "pool_type": "last",
            "norm_kwargs": {"eps": 1e-6},
            "act_kwargs": {"approximate": "tanh"},
        },
    },
    "siglip, mean": {
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": {
            "timm_model_name": "vit_base_patch32_siglip_gap_256",
            "image_size": 256,
            "timm_pool": "avg",
            "timm_proj": "linear",
        },
        # SigLIP's tokenizer class takes punctuation away, whatever is cleaned before.
        "text_cfg": {
            "hf_tokenizer_name": "siglip",
            "tokenizer_kwargs": {"clean": "lower"},
            "pool_type": "last",
        },
    },
    "timm layer scales": {
        "vision_cfg": {
            "timm_model_name": "vit_medium_patch16_gap_256",
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 256,
        },
    },
    "layer scales": {
        "vision_cfg": {"ls_init_value": 1e-4, "block_type": "default"},
        "text_cfg": {"ls_init_value": 0.5, "act_kwargs": {"approximate": "none"}},
    },
    "convnext": {
        "vision_cfg": {"timm_model_name": "convnext_base", **CONVNEXT, "image_size": 96},
    },
    "convnext, mlp": {
        "vision_cfg": {
            "timm_model_name": "convnext_xxlarge",
            **CONVNEXT,
            "timm_proj": "mlp",
            "image_size": [64, 96],
        },
    },
    "convnext, its own head": {
        "vision_cfg": {
            "timm_model_name": "convnext_tiny",
            **CONVNEXT,
            "timm_proj": None,
            "timm_pool": "avg",
        },
        "custom_text": True,
    },
    "mobileclip": {
        "custom_text": True,
        "vision_cfg": {"timm_model_name": "fastvit_mci0", **FASTVIT, "image_size": 96},
        "text_cfg": {"no_causal_mask": True},
    },
    "mobileclip, layer norms": {
        "custom_text": True,
        "vision_cfg": {"timm_model_name": "fastvit_mci3", **FASTVIT, "image_size": [64, 96]},
        "text_cfg": {"no_causal_mask": True},
    },
    "mobileclip-b": {
        "custom_text": True,
        "vision_cfg": {"timm_model_name": "vit_base_mci_224", **FASTVIT, "timm_pool": "token"},
    },
    "vitamin": {
        "custom_text": True,
        "vision_cfg": {"timm_model_name": "vitamin_small_224", **CONVNEXT},
    },
    "vitamin, no positions": {
        "custom_text": True,
        "vision_cfg": {"timm_model_name": "vitamin_xlarge_256", **CONVNEXT, "image_size": 256},
    },
    "xlm-roberta": {
        "vision_cfg": {},
        "text_cfg": {
            "hf_model_name": "xlm-roberta-base",
            "hf_tokenizer_name": "xlm-roberta-base",
            "hf_pooler_type": "mean_pooler",
        },
    },
    "bert pooler": {
        "vision_cfg": {},
        "text_cfg": {
            "hf_model_name": "bert-base-uncased",
            "hf_tokenizer_name": "bert",
            "hf_pooler_type": "cls_pooler",
            "hf_proj_type": "linear",
        },
    },
    # BiomedCLIP: a plain ViT of timm, PubMedBERT, its first token, two projections.
    "biomedclip": {
        "vision_cfg": {
            "timm_model_name": "vit_base_patch16_224",
            "timm_pool": "",
            "timm_proj": "linear",
            "image_size": 224,
        },
        "text_cfg": {
            "hf_model_name": BIOMEDBERT,
            "hf_tokenizer_name": "bert",
            "hf_proj_type": "mlp",
            "hf_pooler_type": "cls_last_hidden_state_pooler",
            "context_length": 256,
        },
    },
}


def openclip(
    folder: Path,
    kind: str | Config = "vit",
    *,
    weights: str = "safetensors",
    preprocess: Config | None = None,
    changes: Callable[[Any], None] | None = None,
) -> Path:
    """A random model of `KINDS`, or of another config, narrower and shallower than its name says.

    `weights`: "safetensors" or "bin". `changes` is called with the model before it is saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = full_config(kind)
    config["text_cfg"]["vocab_size"] = _tokenizer(folder, config["text_cfg"])
    model = random_model(config, folder)
    if changes is not None:
        changes(model)
    return save(folder, model, config, weights=weights, preprocess=preprocess)


def full_config(kind: str | Config) -> Config:
    """The model_cfg of one of `KINDS`, or of what is given, narrow and shallow."""
    given = KINDS[kind] if isinstance(kind, str) else kind
    text = {**TEXT, **given.get("text_cfg", {})}
    if text.get("hf_model_name"):
        text = {"context_length": 77, **given["text_cfg"]}
    vision = given["vision_cfg"]
    usual = {"image_size": 224} if vision.get("timm_model_name") else SMALL
    vision = {**usual, **vision}
    return {"embed_dim": 48, **given, "vision_cfg": vision, "text_cfg": text}


def save(
    folder: Path,
    model: Any,
    config: Config,
    *,
    weights: str = "safetensors",
    preprocess: Config | None = None,
) -> Path:
    """A model of open_clip's into a folder, by its own hand; with CLIP's tokenizer if none is."""
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        checkpoints.tokenizer(folder)
    kept = mock.Mock(save_pretrained=lambda folder: None)
    save_for_hf(model, kept, config, str(folder), safe_serialization=weights == "safetensors")
    settings = json.loads((folder / "open_clip_config.json").read_text())
    settings["preprocess_cfg"] |= preprocess or {}
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    return folder


def random_model(config: Config, folder: Path, *, whole_image_net: bool = False) -> Any:
    """open_clip's own model of a config, with towers of timm and transformers made small."""
    tower = timm.create_model if whole_image_net else partial(_small, timm.create_model)
    settings = {k: v for k, v in config.items() if k != "custom_text"}
    custom = config.get("custom_text") or config["text_cfg"].get("hf_model_name")
    kind = open_clip.CustomTextCLIP if custom else open_clip.CLIP
    if "multimodal_cfg" in config:
        kind = open_clip.CoCa

    words = len(AutoTokenizer.from_pretrained(folder))

    def tower_config(name: str) -> Any:
        shape = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2}
        return TOWERS[name](vocab_size=words, num_attention_heads=12, **EPSILON[name], **shape)

    with (
        mock.patch("open_clip.timm_model.timm.create_model", tower),
        mock.patch("open_clip.hf_model.AutoConfig.from_pretrained", tower_config),
    ):
        text = {**settings["text_cfg"], "hf_model_pretrained": False}
        model = kind(**{**settings, "text_cfg": text})
    checkpoints.randomise(model, 4)
    set_model_preprocess_cfg(model, asdict(PreprocessCfg()))
    return model.eval()


def _small(create: Callable[..., Any], name: str, **settings: Any) -> Any:
    sizes = next(sizes for start, sizes in SMALL_TIMM.items() if name.startswith(start))
    return create(name, **{**sizes, **settings})


# What the published towers have, and transformers does not take by itself.
EPSILON: dict[str, Config] = {
    "xlm-roberta-base": {
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    },
    "bert-base-uncased": {},
    BIOMEDBERT: {},
}


def _tokenizer(folder: Path, text: Config) -> int:
    """The tokenizer that a config wants, in the checkpoint's folder → its size."""
    name = text.get("hf_tokenizer_name")
    if name is None:
        return checkpoints.tokenizer(folder)
    if name == "bert":
        return hf_checkpoints.bert_tokenizer(folder)
    if name == "siglip":
        return hf_checkpoints.siglip_tokenizer(folder)
    return hf_checkpoints.xlm_roberta_tokenizer(folder)
