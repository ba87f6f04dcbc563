"""Checkpoints of the other families that transformers saves: random weights, own tokenizers."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers import (
    AlignConfig,
    AlignModel,
    AltCLIPConfig,
    AltCLIPModel,
    ChineseCLIPConfig,
    ChineseCLIPModel,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegModel,
    SiglipConfig,
    SiglipModel,
)

from checkpoints import CORPUS, randomise, tokenizer

PIECES = 300
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]

# What makes the published checkpoints differ, at a width that is quick to test.
SIGLIP_SHAPES: dict[str, dict[str, Any]] = {
    "base-patch16-224": {"image_size": 224, "patch_size": 16, "heads": 2, "width": 96},
    # 384 is no multiple of 14: the last pixels are in no patch.
    "so400m-patch14-384": {"image_size": 384, "patch_size": 14, "heads": 3, "width": 72},
    # Nothing as usual: exact gelu, another epsilon, other widths of text and projection.
    "odd": {
        "image_size": 70,
        "patch_size": 10,
        "heads": 3,
        "width": 60,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-3,
        "resample": 2,
        "text": {"hidden_size": 36, "projection_size": 60, "max_position_embeddings": 90},
    },
}

# Pictures are (height, width); the table of positions is of a square of `image_size`.
CLIPSEG_SHAPES: dict[str, dict[str, Any]] = {
    # As published: more patches than the table has positions.
    "rd64": {"image_size": 224, "patch_size": 16, "picture": (352, 352), "heads": 2, "width": 64},
    # One position a patch.
    "as-clip": {"image_size": 96, "patch_size": 16, "picture": (96, 96), "heads": 2, "width": 64},
    # Nothing as usual: fewer patches than positions one way, more the other, the last pixels of
    # both in no patch; exact gelu, another epsilon, odd heads.
    "odd": {
        "image_size": 70,
        "patch_size": 10,
        "picture": (47, 93),
        "heads": 3,
        "width": 60,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-3,
    },
}

ALIGN_SHAPES: dict[str, dict[str, Any]] = {
    # As published, but for the coefficients: 289 pixels of 346, in the range -1…1.
    "b7": {
        "vision": {"width_coefficient": 0.25, "depth_coefficient": 0.5},
        "dimension": 80,
        "processor": {
            "size": {"height": 346, "width": 346},
            "resample": 2,
            "do_center_crop": True,
            "crop_size": {"height": 289, "width": 289},
            "rescale_factor": 1 / 127.5,
            "rescale_offset": True,
            "do_normalize": False,
            "include_top": False,
        },
    },
    # Nothing as usual: few stages, an even side, square padding in a block, another activation
    # and epsilon, a large squeeze; normalised twice.
    "odd": {
        "vision": {
            "width_coefficient": 0.5,
            "depth_coefficient": 1.1,
            "depth_divisor": 4,
            "kernel_sizes": [5, 3, 5, 7],
            "in_channels": [32, 32, 16, 40],
            "out_channels": [32, 16, 40, 88],
            "strides": [1, 2, 2, 2],
            "num_block_repeats": [1, 2, 1, 1],
            "expand_ratios": [1, 4, 2, 3],
            "depthwise_padding": [5],
            "squeeze_expansion_ratio": 0.6,
            "hidden_act": "gelu",
            "batch_norm_eps": 0.3,
            "hidden_dim": 30,
        },
        "dimension": 44,
        "processor": {
            "size": {"height": 110, "width": 84},
            "do_center_crop": False,
            "rescale_offset": True,
            "image_mean": [0.1, 0.5, 0.7],
            "image_std": [0.7, 0.8, 0.9],
            "include_top": True,
        },
    },
}


def sentence_pieces(path: Path, **settings: Any) -> int:
    """A SentencePiece unigram model of `CORPUS` → how many pieces it has."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*CORPUS] * 3),
        model_writer=model,
        vocab_size=PIECES,
        hard_vocab_limit=False,
        minloglevel=2,
        **settings,
    )
    path.write_bytes(model.getvalue())
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()


def gemma_tokenizer(folder: Path) -> int:
    """A byte-pair tokenizer.json as Gemma has it: ▁ for spaces, <eos> after a text → its size."""
    bpe = Tokenizer(BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    bpe.normalizer = normalizers.Replace(" ", "▁")
    bpe.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    own_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=900, min_frequency=1, special_tokens=special + own_bytes, show_progress=False
    )
    # Letters of both cases: what is lower-cased first gets other tokens.
    bpe.train_from_iterator([*CORPUS, *(text.upper() for text in CORPUS)] * 3, trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single="$A <eos>", special_tokens=[("<eos>", 1)]
    )
    bpe.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "GemmaTokenizer",
        "pad_token": "<pad>",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "unk_token": "<unk>",
        "add_bos_token": False,
        "add_eos_token": True,
        "padding_side": "right",
        "model_input_names": ["input_ids"],
        "model_max_length": 64,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return bpe.get_vocab_size()


def siglip_tokenizer(folder: Path) -> int:
    """SigLIP's own → its size."""
    size = sentence_pieces(folder / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    settings = {
        "tokenizer_class": "SiglipTokenizer",
        "pad_token": "</s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "model_input_names": ["input_ids"],
        "model_max_length": 64,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return size


def xlm_roberta_tokenizer(folder: Path) -> int:
    """XLM-RoBERTa's → its size: fairseq's four ids, the pieces but three, <mask>."""
    size = sentence_pieces(folder / "sentencepiece.bpe.model") - 3 + 5
    settings = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 62}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return size


def bert_tokenizer(folder: Path) -> int:
    """BERT's, of letters and a few words → its size."""
    words = {character for text in CORPUS for character in text.lower() if not character.isspace()}
    parts = sorted(words) + [f"##{word}" for word in sorted(words)] + ["photo", "cat", "##ing"]
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *parts]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", "utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    special = {"pad_token": "[PAD]", "sep_token": "[SEP]"}
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, **special}))
    return len(vocabulary)


def siglip(
    folder: Path, shape: str = "base-patch16-224", *, gemma: bool = False, **overrides: Any
) -> Path:
    """A random SigLIP; `gemma`: with the tokenizer of SigLIP 2."""
    folder.mkdir(parents=True, exist_ok=True)
    s = {**SIGLIP_SHAPES[shape], **overrides}
    vocabulary = gemma_tokenizer(folder) if gemma else siglip_tokenizer(folder)
    shared = {
        "num_hidden_layers": s.get("layers", 3),
        "hidden_size": s["width"],
        "intermediate_size": s.get("mlp", 3) * s["width"],
        "num_attention_heads": s["heads"],
        "hidden_act": s.get("hidden_act", "gelu_pytorch_tanh"),
        "layer_norm_eps": s.get("layer_norm_eps", 1e-6),
    }
    config = SiglipConfig(
        vision_config={**shared, "image_size": s["image_size"], "patch_size": s["patch_size"]},
        text_config={**shared, "vocab_size": vocabulary, **s.get("text", {})},
    )
    model = randomise(SiglipModel(config), 1)
    model.logit_bias.data.fill_(-2.5)
    model.save_pretrained(folder)
    size = {"height": s["image_size"], "width": s["image_size"]}
    write_processor(
        folder,
        {
            "image_processor_type": "SiglipImageProcessor",
            "do_center_crop": None,
            "size": size,
            "resample": s.get("resample", 3),
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
        },
    )
    return folder


def clipseg(folder: Path, shape: str = "rd64", *, whole: bool = True) -> Path:
    """A random CLIPSeg; `whole`: with its decoder, as the published ones, else its CLIP alone."""
    folder.mkdir(parents=True, exist_ok=True)
    s = CLIPSEG_SHAPES[shape]
    vocabulary = tokenizer(folder)
    shared = {
        "num_hidden_layers": 3,
        "hidden_size": s["width"],
        "intermediate_size": 3 * s["width"],
        "num_attention_heads": s["heads"],
        "hidden_act": s.get("hidden_act", "quick_gelu"),
        "layer_norm_eps": s.get("layer_norm_eps", 1e-5),
    }
    config = CLIPSegConfig(
        projection_dim=40,
        vision_config={**shared, "image_size": s["image_size"], "patch_size": s["patch_size"]},
        text_config={
            **shared,
            "vocab_size": vocabulary,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
        },
        extract_layers=[0, 1, 2],
        reduce_dim=16,
        decoder_intermediate_size=32,
    )
    model = CLIPSegForImageSegmentation(config) if whole else CLIPSegModel(config)
    randomise(model, 4).save_pretrained(folder)
    height, width = s["picture"]
    write_processor(
        folder,
        {
            "image_processor_type": "ViTImageProcessor",
            "size": {"height": height, "width": width},
            "resample": 2,
            "image_mean": [0.485, 0.456, 0.406],
            "image_std": [0.229, 0.224, 0.225],
        },
    )
    return folder


def align(folder: Path, shape: str = "b7") -> Path:
    """A random ALIGN."""
    folder.mkdir(parents=True, exist_ok=True)
    s = ALIGN_SHAPES[shape]
    config = AlignConfig(
        projection_dim=s["dimension"],
        text_config={
            "vocab_size": bert_tokenizer(folder),
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "max_position_embeddings": 128,
        },
        vision_config=s["vision"],
    )
    model = randomise(AlignModel(config), 5)
    model.temperature.data.fill_(0.05)
    _meet_pictures(model.vision_model)
    model.save_pretrained(folder)
    write_processor(
        folder, {"image_processor_type": "EfficientNetImageProcessor", **s["processor"]}
    )
    return folder


def altclip(folder: Path, *, layers: int = 3, heads: int = 3, width: int = 60) -> Path:
    """A random AltCLIP."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = xlm_roberta_tokenizer(folder)
    config = AltCLIPConfig(
        projection_dim=40,
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "max_position_embeddings": 64,
            "project_dim": 28,
        },
        vision_config=_vision(layers, heads, width),
    )
    randomise(AltCLIPModel(config), 2).save_pretrained(folder)
    crop = {"crop_size": {"height": 112, "width": 112}, "size": {"shortest_edge": 112}}
    write_processor(folder, {"image_processor_type": "CLIPImageProcessor", **crop})
    return folder


def chinese_clip(folder: Path, *, layers: int = 3, heads: int = 3, width: int = 60) -> Path:
    """A random Chinese-CLIP."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = bert_tokenizer(folder)
    config = ChineseCLIPConfig(
        projection_dim=40,
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "max_position_embeddings": 128,
        },
        vision_config=_vision(layers, heads, width),
    )
    randomise(ChineseCLIPModel(config), 3).save_pretrained(folder)
    size = {"size": {"height": 112, "width": 112}, "do_center_crop": False}
    write_processor(folder, {"image_processor_type": "ChineseCLIPImageProcessor", **size})
    return folder


@torch.no_grad()
def _meet_pictures(model: Any) -> None:
    """Batch norms get the statistics of some pictures: with random ones a deep net answers every
    picture alike, and a test of it says little. Small variances are raised: a layer that multiplies
    by more makes rounding large."""
    generator = torch.Generator().manual_seed(6)
    coarse = torch.randn(16, 3, 5, 5, generator=generator)
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    model(torch.nn.functional.interpolate(coarse, 96, mode="bicubic"))
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.clamp_(min=0.5)
    model.eval()


def _vision(layers: int, heads: int, width: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "image_size": 112,
        "patch_size": 14,
    }


def write_processor(folder: Path, settings: dict[str, Any]) -> None:
    usual = {
        "do_resize": True,
        "resample": 3,
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "image_mean": MEAN,
        "image_std": STD,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps({**usual, **settings}))
