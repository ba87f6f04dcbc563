"""Checkpoints in OpenCLIP's format: our numbers against open_clip's on the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

import checkpoints
import openclip_checkpoints
import unseen
from judging import TEXTS, assert_close, differences, pictures
from openclip_judge import OpenClipJudge
from unseen.models.families.openclip import settings
from unseen.models.tokenizers import text_normalization
from unseen.runtimes import reference


@pytest.mark.parametrize("kind", openclip_checkpoints.KINDS)
def test_every_kind_agrees_with_open_clip(kind: str, tmp_path: Path) -> None:
    folder = openclip_checkpoints.openclip(tmp_path / "model", kind)
    texts = [*TEXTS, "It&amp;s a  CAT_s"]
    if kind == "clipa":  # it reads 32 tokens
        texts = [text[:28] for text in texts]
    assert_close(differences(folder, OpenClipJudge(folder), texts))


def test_weights_in_a_torch_archive(tmp_path: Path) -> None:
    folder = openclip_checkpoints.openclip(tmp_path / "model", weights="bin")
    assert (folder / "open_clip_pytorch_model.bin").is_file()
    assert_close(differences(folder, OpenClipJudge(folder)))


@pytest.mark.parametrize("kind", ["vit", "odd"])
@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_pictures_are_resized_as_open_clip_does(
    kind: str, mode: str, interpolation: str, tmp_path: Path
) -> None:
    """Bytes against torchvision's floats: the same but for rounding, on sizes of every oddity."""
    chosen = {"resize_mode": mode, "interpolation": interpolation, "mean": 0.5, "std": 0.5}
    folder = openclip_checkpoints.openclip(tmp_path / "model", kind, preprocess=chosen)
    judge, model = OpenClipJudge(folder), unseen.load(folder).model
    rng = np.random.default_rng(1)
    for size in [(70, 70), (71, 99), (99, 71), (33, 50), (500, 41), (41, 500), (73, 75)]:
        small = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8))
        image = small.resize(size, Image.Resampling.BICUBIC)
        floats = judge.preprocess(image).numpy().transpose(1, 2, 0) * 0.5 + 0.5
        wanted = np.round(floats * 255)
        np.testing.assert_allclose(model.preprocess(image), wanted, atol=1, err_msg=str(size))


@pytest.mark.parametrize("how", ["force_quick_gelu", "-quickgelu"])
def test_quick_gelu_by_force_and_by_name(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trap of two published papers: weights of one activation under the other.

    Both ways of open_clip end as `quick_gelu` in the config that is saved beside the weights, by
    its own hand for a name, and as its `push_pretrained_to_hf_hub` does for OpenAI's.
    """
    small = openclip_checkpoints.full_config("vit")
    configs = tmp_path / "configs"
    configs.mkdir()
    (configs / "tiny.json").write_text(json.dumps(small))
    (configs / "tiny-quickgelu.json").write_text(json.dumps({**small, "quick_gelu": True}))
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", {})
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", [configs])
    open_clip.factory._rescan_model_configs()
    if how == "force_quick_gelu":
        model = open_clip.create_model("tiny", force_quick_gelu=True, load_weights=False)
        config = {**open_clip.get_model_config("tiny"), "quick_gelu": True}
    else:
        model = open_clip.create_model("tiny-quickgelu", load_weights=False)
        config = open_clip.get_model_config("tiny-quickgelu")
    folder = openclip_checkpoints.save(tmp_path / "model", checkpoints.randomise(model, 4), config)
    assert_close(differences(folder, OpenClipJudge(folder)))
    right = unseen.load(folder).encode_images(pictures())
    path = folder / "open_clip_config.json"
    path.write_text(path.read_text().replace('"quick_gelu": true', '"quick_gelu": false'))
    assert np.abs(unseen.load(folder).encode_images(pictures()) - right).max() > 1e-3


def test_the_attention_pool_head_of_timm(tmp_path: Path) -> None:
    """The trap of its packed weights: keys and values are one array, in this order."""
    folder = openclip_checkpoints.openclip(tmp_path / "model", "siglip")
    right = unseen.load(folder).encode_images(pictures())

    def swapped(model: Any) -> None:
        for packed in model.visual.trunk.attn_pool.kv.parameters():
            key, value = packed.data.clone().chunk(2)
            packed.data.copy_(torch.cat([value, key]))

    folder = openclip_checkpoints.openclip(tmp_path / "swapped", "siglip", changes=swapped)
    wrong = unseen.load(folder).encode_images(pictures())
    assert np.abs(wrong - right).max() > 1e-3
    np.testing.assert_allclose(wrong, OpenClipJudge(folder).images(pictures()), atol=1e-5)


@pytest.mark.parametrize("kind", ["timm clip", "biomedclip"])
def test_timm_has_its_own_epsilon(kind: str, tmp_path: Path) -> None:
    """The trap of timm's layer norms: 1e-6 in its plain ViTs, 1e-5 in those made for CLIP."""

    def flat(model: Any) -> None:  # activations so small that epsilon shows
        model.visual.trunk.patch_embed.proj.weight.data *= 1e-3
        model.visual.trunk.pos_embed.data *= 1e-3
        model.visual.trunk.cls_token.data *= 1e-3
        if model.visual.trunk.patch_embed.proj.bias is not None:
            model.visual.trunk.patch_embed.proj.bias.data *= 1e-3

    folder = openclip_checkpoints.openclip(tmp_path / "model", kind, changes=flat)
    assert_close(differences(folder, OpenClipJudge(folder)))
    wrong = {"heads": 12, "activation": "gelu", "epsilon": 1e-4}
    right = unseen.load(folder).encode_images(pictures())
    known = settings.towers()["timm_model_name"]
    with mock.patch.dict(known, dict.fromkeys(known, wrong)):
        model = unseen.load(folder).model
        pixels = np.stack([model.preprocess(p) for p in pictures()])
        assert np.abs(reference.run(model.image_network(), pixels) - right).max() > 1e-3


def test_batch_norms_are_folded_with_their_epsilon(tmp_path: Path) -> None:
    """The trap of batch-norm folding: a variance near zero, where the epsilon decides."""

    def narrow(model: Any) -> None:
        model.visual.bn1.running_var[::2] = 1e-6

    folder = openclip_checkpoints.openclip(tmp_path / "model", "resnet", changes=narrow)
    assert_close(differences(folder, OpenClipJudge(folder)))


def test_a_resnet_averages_where_it_would_stride(tmp_path: Path) -> None:
    """The trap of the anti-aliased strides: an average before the convolution, in both branches."""
    folder = openclip_checkpoints.openclip(tmp_path / "model", "resnet, odd")

    def every_second(self: Any, x: Any, size: int) -> Any:
        return x[:, :, ::size, ::size]

    model = unseen.load(folder).model
    pixels = np.stack([model.preprocess(p) for p in pictures()])
    right = reference.run(model.image_network(), pixels)
    np.testing.assert_allclose(right, OpenClipJudge(folder).images(pictures()), atol=1e-5)
    with mock.patch.object(reference.NumpyOperations, "avg_pool", every_second):
        assert np.abs(reference.run(model.image_network(), pixels) - right).max() > 1e-3


@pytest.mark.parametrize(
    "text",
    ["A  Photo\tof a_cat!", "it&amp;amp;s a dog", "schÃ¶n", "“quoted” – dash", "", "Ｗｉｄｅ"],
)
def test_texts_are_cleaned_as_open_clip_does(text: str) -> None:
    for kind, ours in text_normalization.OPEN_CLIP.items():
        theirs = open_clip.tokenizer.get_clean_fn(kind)
        assert text_normalization.NORMALIZATIONS[ours](text) == theirs(text), kind


@pytest.mark.parametrize(
    ("tower", "key", "value", "complaint"),
    [
        ("vision_cfg", "attentional_pool", "parallel", "attentional_pool"),
        (
            "vision_cfg",
            "timm_model_name",
            "swin_base_patch4_window7_224",
            "swin_base.*supported are",
        ),
        ("vision_cfg", "qk_norm", True, "qk_norm"),
        ("vision_cfg", "pool_type", "none", "pools"),
        ("text_cfg", "hf_model_name", "google/mt5-base", "mt5-base.*supported are"),
        ("text_cfg", "use_pad_mask", True, "use_pad_mask"),
        ("text_cfg", "pooler_type", "cls_pooler", "pooler_type"),  # no key of OpenCLIP's today
        ("text_cfg", "pool_type", "first", "pools its text"),
        ("text_cfg", "tokenizer_kwargs", {"language": "de"}, "tokenizer_kwargs"),
    ],
)
def test_what_is_not_supported_is_refused(
    tower: str, key: str, value: object, complaint: str, tmp_path: Path
) -> None:
    folder = openclip_checkpoints.openclip(tmp_path / "model")
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"][tower][key] = value
    path.write_text(json.dumps(config))
    with pytest.raises(unseen.ModelError, match=complaint):
        classifier = unseen.load(folder)
        classifier.encode_images(pictures()[:1])
        classifier.encode_texts(["a cat"])


def test_a_repository_of_two_formats_is_read_as_transformers_own(tmp_path: Path) -> None:
    """LAION's have both; timm's have a config.json that is not transformers'."""
    folder = openclip_checkpoints.openclip(tmp_path / "both")
    assert unseen.load(folder).model.family == "openclip"
    (folder / "config.json").write_text(json.dumps({"architecture": "vit_base_patch32_clip_224"}))
    assert unseen.load(folder).model.family == "openclip"
    checkpoints.clip(folder)
    assert unseen.load(folder).model.family == "clip"
