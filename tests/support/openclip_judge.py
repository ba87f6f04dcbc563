"""open_clip as the judge of a checkpoint folder in its own format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

import openclip_checkpoints
from judging import Rows, unit


class OpenClipJudge:
    """open_clip on a checkpoint folder. `model`: one of the folder's config, if it is not small."""

    def __init__(self, folder: Path, model: Any = None) -> None:
        settings = json.loads((folder / "open_clip_config.json").read_text())
        config = settings["model_cfg"]
        self.model = model or openclip_checkpoints.random_model(config, folder)
        files = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
        path = next(folder / name for name in files if (folder / name).is_file())
        open_clip.load_checkpoint(self.model, str(path), strict=True)
        size = config["vision_cfg"]["image_size"]
        kept = {k: v for k, v in settings["preprocess_cfg"].items() if k != "size"}
        size = tuple(size) if isinstance(size, list) else size
        self.preprocess = image_transform_v2(PreprocessCfg(size=size, **kept), is_train=False)
        self.tokenize = open_clip_tokenizer(folder)

    @torch.no_grad()
    def images(self, images: list[Image.Image]) -> Rows:
        return unit(self.model.encode_image(torch.stack([self.preprocess(i) for i in images])))

    @torch.no_grad()
    def texts(self, texts: list[str]) -> Rows:
        return unit(self.model.encode_text(self.tokenize(texts)))

    @torch.no_grad()
    def logits(self, images: list[Image.Image], texts: list[str]) -> Rows:
        if isinstance(self.model, open_clip.CoCa):  # has no logits of its own
            scale = self.model.logit_scale.exp().item()
            return scale * self.images(images) @ self.texts(texts).T
        pixels = torch.stack([self.preprocess(image) for image in images])
        return self.model.get_logits(pixels, self.tokenize(texts))[0].numpy()


def open_clip_tokenizer(folder: Path) -> Any:
    """open_clip's own tokenizer; its vocabulary of CLIP is read from the checkpoint's files."""
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]["text_cfg"]
    if config.get("hf_tokenizer_name"):
        return open_clip.get_tokenizer(f"local-dir:{folder}")
    tokenizer = open_clip.SimpleTokenizer(context_length=config.get("context_length", 77))
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    merges = (folder / "merges.txt").read_text("utf-8").split("\n")[1:]
    tokenizer.encoder = vocabulary
    pairs = [tuple(merge.split()) for merge in merges if merge]
    tokenizer.bpe_ranks = dict(zip(pairs, range(len(pairs)), strict=True))
    tokenizer.sot_token_id = vocabulary["<|startoftext|>"]
    tokenizer.eot_token_id = vocabulary["<|endoftext|>"]
    return tokenizer
