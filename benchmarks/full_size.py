"""Checkpoints with random weights whose image nets have the true size; their text nets are small.

An exported file has no text net, and 1 to 3 GB are saved that nobody would look at.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import broken_torchvision

broken_torchvision.mend()  # before the libraries that import it

import torch  # noqa: E402
from transformers import AltCLIPConfig, AltCLIPModel, SiglipConfig, SiglipModel  # noqa: E402

import checkpoints  # noqa: E402
import hf_checkpoints  # noqa: E402
import openclip_checkpoints  # noqa: E402

TEXT = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
}
BASE = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "image_size": 224,
    "patch_size": 16,
}
LARGE = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "image_size": 224,
    "patch_size": 14,
}
RN50 = {
    "embed_dim": 1024,
    "quick_gelu": True,
    "vision_cfg": {"layers": [3, 4, 6, 3], "width": 64, "patch_size": None, "image_size": 224},
    "text_cfg": {"context_length": 77, "width": 128, "heads": 2, "layers": 2},
}
HALVES = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def clip_l14_336(folder: Path) -> Path:
    return checkpoints.clip(
        folder, "L14-336", layers=24, width=1024, heads=16, dimension=768, text=TEXT
    )


def siglip_b16(folder: Path) -> Path:
    folder.mkdir(parents=True)
    text = {**TEXT, "projection_size": 768, "vocab_size": hf_checkpoints.siglip_tokenizer(folder)}
    config = SiglipConfig(
        vision_config={**BASE, "hidden_act": "gelu_pytorch_tanh"},
        text_config={**text, "hidden_act": "gelu_pytorch_tanh"},
    )
    model = checkpoints.randomise(SiglipModel(config), 1)
    model.logit_bias.data.fill_(-2.5)
    model.save_pretrained(folder)
    size = {"height": 224, "width": 224}
    settings = {"image_processor_type": "SiglipImageProcessor", "do_center_crop": None}
    hf_checkpoints.write_processor(folder, {**settings, **HALVES, "size": size})
    return folder


def altclip(folder: Path) -> Path:
    folder.mkdir(parents=True)
    vocabulary = hf_checkpoints.xlm_roberta_tokenizer(folder)
    text = {**TEXT, "vocab_size": vocabulary, "max_position_embeddings": 64, "project_dim": 768}
    config = AltCLIPConfig(projection_dim=768, text_config=text, vision_config=LARGE)
    checkpoints.randomise(AltCLIPModel(config), 2).save_pretrained(folder)
    crop = {"crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 224}}
    hf_checkpoints.write_processor(folder, {"image_processor_type": "CLIPImageProcessor", **crop})
    return folder


def rn50(folder: Path) -> Path:
    folder.mkdir(parents=True)
    vocabulary = checkpoints.tokenizer(folder)
    config = {**RN50, "text_cfg": {**RN50["text_cfg"], "vocab_size": vocabulary}}  # type: ignore[dict-item]
    model = openclip_checkpoints.random_model(config, folder)
    _meet_pictures(model.visual)
    return openclip_checkpoints.save(folder, model, config)


def biomedclip(folder: Path) -> Path:
    folder.mkdir(parents=True)
    config = {**openclip_checkpoints.full_config("biomedclip"), "embed_dim": 512}
    config["text_cfg"]["vocab_size"] = hf_checkpoints.bert_tokenizer(folder)
    model = openclip_checkpoints.random_model(config, folder, whole_image_net=True)
    return openclip_checkpoints.save(folder, model, config)


@torch.no_grad()
def _meet_pictures(net: Any) -> None:
    """Batch norms with the statistics of pictures, or all pictures would be alike to the net."""
    coarse = torch.randn(16, 3, 7, 7, generator=torch.Generator().manual_seed(6))
    net.train()
    net(torch.nn.functional.interpolate(coarse, 224, mode="bicubic"))
    net.eval()
