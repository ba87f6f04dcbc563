"""timm's convolutional towers under OpenCLIP: the traps of each, by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_openclip_parity import OpenClipJudge

import openclip_checkpoints
import unseen
from judging import assert_close, differences, pictures
from unseen.runtimes import reference


def embeddings(folder: Path) -> Any:
    """What the definition gives for the judge's pictures."""
    model = unseen.load(folder).model
    pixels = np.stack([model.preprocess(picture) for picture in pictures()])
    return reference.run(model.image_network(), pixels)


def test_a_convnext_averages_before_its_norm(tmp_path: Path) -> None:
    """The trap of the head: the norm of the mean is not the mean of the norms.

    A stage whose pixels differ much shows it: the last convolution is made ten times as large.
    """

    def loud(model: Any) -> None:
        model.visual.trunk.stages[3].blocks[0].conv_dw.weight.data *= 10

    folder = openclip_checkpoints.openclip(tmp_path / "model", "convnext", changes=loud)
    assert_close(differences(folder, OpenClipJudge(folder)))


def test_the_epsilon_of_a_convnext_is_its_names(tmp_path: Path) -> None:
    """The trap of xxlarge: 1e-5 where the smaller ones have 1e-6; small numbers show it."""

    def flat(model: Any) -> None:
        for name, parameter in model.visual.trunk.named_parameters():
            if name.startswith("stem.0"):
                parameter.data *= 1e-3

    for kind in ("convnext", "convnext, mlp"):
        folder = openclip_checkpoints.openclip(tmp_path / kind, kind, changes=flat)
        assert_close(differences(folder, OpenClipJudge(folder)))
        right = embeddings(folder)
        path = folder / "open_clip_config.json"
        config = json.loads(path.read_text())
        vision = config["model_cfg"]["vision_cfg"]
        others = {"convnext_base": "convnext_xxlarge", "convnext_xxlarge": "convnext_base"}
        vision["timm_model_name"] = others[vision["timm_model_name"]]
        path.write_text(json.dumps(config))
        assert np.abs(embeddings(folder) - right).max() > 1e-3


def test_the_scale_of_a_convnexts_block_is_of_its_branch(tmp_path: Path) -> None:
    """The trap of `gamma`: it scales what is added, and not what it is added to."""

    def without(model: Any) -> None:
        for stage in model.visual.trunk.stages:
            for block in stage.blocks:
                block.gamma.data.zero_()

    folder = openclip_checkpoints.openclip(tmp_path / "model", "convnext", changes=without)
    assert_close(differences(folder, OpenClipJudge(folder)))


def test_a_convnext_pools_by_its_mean_and_nothing_else(tmp_path: Path) -> None:
    folder = openclip_checkpoints.openclip(tmp_path / "model", "convnext")
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["vision_cfg"]["timm_pool"] = "max"
    path.write_text(json.dumps(config))
    with pytest.raises(unseen.ModelError, match=r"timm_pool 'max'.*convnext_base.*not supported"):
        unseen.load(folder)


def test_weights_of_another_width_than_the_config_says(tmp_path: Path) -> None:
    folder = openclip_checkpoints.openclip(tmp_path / "model", "convnext")
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["embed_dim"] = 40
    path.write_text(json.dumps(config))
    with pytest.raises(unseen.ModelError, match=r"disagree: visual\.head.proj.weight"):
        unseen.load(folder).encode_images(pictures()[:1])


PLAIN = {"mean": [0.0] * 3, "std": [1.0] * 3, "interpolation": "bilinear"}  # of most MobileCLIPs


def mobileclip(folder: Path, kind: str = "mobileclip", **options: Any) -> Path:
    return openclip_checkpoints.openclip(folder, kind, preprocess=PLAIN, **options)


@pytest.mark.parametrize("kind", ["mobileclip", "mobileclip, layer norms"])
def test_a_mobileclip_agrees_with_open_clip(kind: str, tmp_path: Path) -> None:
    folder = mobileclip(tmp_path / "model", kind)
    assert_close(differences(folder, OpenClipJudge(folder)))


def test_the_first_convolution_of_a_mobileclip_pads_after_the_normalisation(
    tmp_path: Path,
) -> None:
    """The trap of MobileCLIP2-S3 and S4: with a mean, zeros around the picture are no black."""
    dark = {"mean": [0.9, 0.8, 0.7], "std": [0.2, 0.3, 0.4]}
    folder = openclip_checkpoints.openclip(
        tmp_path / "model", "mobileclip, layer norms", preprocess=dark
    )
    assert_close(differences(folder, OpenClipJudge(folder)))


@pytest.mark.parametrize(
    "part",
    [
        "stem.1.conv_scale",
        "stem.2.identity",
        "stages.1.downsample.proj.0.small_conv",
        "stages.1.downsample.proj.1.identity",
        "stages.0.blocks.0.token_mixer.norm.identity",
        "stages.0.blocks.0.token_mixer.mixer.conv_scale",
        "stages.3.blocks.0.norm",
        "final_conv.conv_scale",
    ],
)
def test_every_branch_of_a_mobileclip_shows(part: str, tmp_path: Path) -> None:
    """Each branch is folded with its own statistics: ten times the scale of one is seen."""

    def loud(model: Any) -> None:
        modules = dict(model.visual.trunk.named_modules())
        for name, parameter in modules[part].named_parameters():
            if name in ("weight", "bn.weight"):
                parameter.data *= 10

    folder = mobileclip(tmp_path / "model", changes=loud)
    assert_close(differences(folder, OpenClipJudge(folder)))


def test_the_squeeze_of_a_mobileclip_comes_before_its_activation(tmp_path: Path) -> None:
    """The trap of the downsampling and of the last convolution: weigh the channels, then GELU."""

    def uneven(model: Any) -> None:
        trunk = model.visual.trunk
        for excitation in (trunk.final_conv.se, trunk.stages[2].downsample.proj[0].se):
            excitation.fc2.bias.data = torch.linspace(-6, 6, len(excitation.fc2.bias))

    folder = mobileclip(tmp_path / "model", changes=uneven)
    assert_close(differences(folder, OpenClipJudge(folder)))


def test_the_class_token_of_mobileclip_b_has_no_position(tmp_path: Path) -> None:
    """The trap of its positions: as many as patches, and added before the class token comes."""

    def loud(model: Any) -> None:
        model.visual.trunk.pos_embed.data *= 20

    folder = mobileclip(tmp_path / "model", "mobileclip-b", changes=loud)
    assert_close(differences(folder, OpenClipJudge(folder)))


def test_the_average_of_a_vitamin_does_not_count_its_padding(tmp_path: Path) -> None:
    """The trap of its shortcut: a corner is the mean of four pixels, and not of nine."""

    def flat(model: Any) -> None:  # nothing but the shortcut is left of the first blocks
        for stage in model.visual.trunk.patch_embed.backbone.stages:
            stage[0].conv3_1x1.weight.data.zero_()

    folder = openclip_checkpoints.openclip(tmp_path / "model", "vitamin", changes=flat)
    assert_close(differences(folder, OpenClipJudge(folder)))


def test_the_mlp_of_a_vitamin_is_normed_twice(tmp_path: Path) -> None:
    """The trap of `mlp.norm`, which comes after norm2: small numbers show both epsilons."""

    def flat(model: Any) -> None:
        for block in model.visual.trunk.blocks:
            block.norm2.weight.data *= 1e-3
            block.norm2.bias.data *= 1e-3

    folder = openclip_checkpoints.openclip(tmp_path / "model", "vitamin", changes=flat)
    assert_close(differences(folder, OpenClipJudge(folder)))


def test_the_first_convolution_of_a_vitamin_pads_after_the_normalisation(tmp_path: Path) -> None:
    dark = {"mean": [0.9, 0.8, 0.7], "std": [0.2, 0.3, 0.4]}
    folder = openclip_checkpoints.openclip(tmp_path / "model", "vitamin", preprocess=dark)
    assert_close(differences(folder, OpenClipJudge(folder)))
