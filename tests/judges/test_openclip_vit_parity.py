"""Perception Encoder, EVA, CoCa and texts that see their padding, in OpenCLIP's format: our numbers
against open_clip's and timm's on the same files, and a test for each trap."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import open_clip
import pytest
from open_clip.model import set_model_preprocess_cfg
from open_clip.transform import PreprocessCfg

import checkpoints
import openclip_checkpoints
import openclip_vits
import unseen
from judging import REFERENCE, TEXTS, Rows, assert_close, differences, pictures
from openclip_judge import OpenClipJudge
from unseen.models.families.openclip import settings
from unseen.models.towers import TowerSpec, build_network
from unseen.models.weights.rules import Part
from unseen.networks import vit
from unseen.runtimes import reference
from unseen.runtimes.torch import TorchNetwork

KINDS = openclip_vits.PE_CORE | openclip_vits.EVA


def images(folder: Path) -> Rows:
    """Our embeddings of the pictures, in the reference runtime."""
    model = unseen.load(folder).model
    pixels = np.stack([model.preprocess(picture) for picture in pictures()])
    return reference.run(model.image_network(), pixels)


def differ(a: Rows, b: Rows) -> bool:
    """By ten times what a right answer may."""
    return float(np.abs(a - b).max()) > 10 * REFERENCE


def with_row(folder: Path, name: str, **changes: Any) -> Rows:
    """`images` where a row of towers.json says something else."""
    known = settings.towers()["timm_model_name"]
    with mock.patch.dict(known, {name: {**known[name], **changes}}):
        return images(folder)


def say_of_text(folder: Path, **changes: Any) -> None:
    """Changes of the text_cfg that is stored."""
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["text_cfg"] |= changes
    path.write_text(json.dumps(config))


def within_32(texts: list[str]) -> list[str]:
    """Texts that a context of 32 does not cut."""
    return [text[:28] for text in texts]


# texts that see their padding


def test_a_text_that_sees_its_padding_agrees_with_open_clip(tmp_path: Path) -> None:
    folder = openclip_checkpoints.openclip(tmp_path / "model", openclip_vits.SEES_PADDING)
    assert_close(differences(folder, OpenClipJudge(folder)))


def test_a_text_that_sees_its_padding_is_the_same_beside_a_longer_one(tmp_path: Path) -> None:
    """The trap of a batch that is cut to its longest text."""
    folder = openclip_checkpoints.openclip(tmp_path / "model", openclip_vits.SEES_PADDING)
    model = unseen.load(folder).model
    ids, _ = model.tokenizer.encode(["a cat", "a photo of a small dog in the snow"])
    network = model.text_network()
    alone = reference.run(network, *model.text_inputs(ids[:1]))
    beside = reference.run(network, *model.text_inputs(ids))[:1]
    np.testing.assert_allclose(alone, beside, atol=1e-6)
    batch, ends = model.text_inputs(ids[:1])
    assert batch.shape == (1, 77)
    assert differ(reference.run(network, batch[:, : len(ids[0])], ends), alone)


def test_a_padding_that_would_be_masked_is_refused(tmp_path: Path) -> None:
    folder = openclip_checkpoints.openclip(tmp_path / "model", openclip_vits.SEES_PADDING)
    say_of_text(folder, use_pad_mask=True)
    with pytest.raises(unseen.ModelError, match="use_pad_mask"):
        unseen.load(folder)


# Perception Encoder


@pytest.mark.parametrize("kind", openclip_vits.PE_CORE)
def test_every_pe_core_agrees_with_open_clip(kind: str, tmp_path: Path) -> None:
    chosen = {"resize_mode": "squash", "interpolation": "bilinear", "mean": 0.5, "std": 0.5}
    folder = openclip_checkpoints.openclip(
        tmp_path / "model", openclip_vits.PE_CORE[kind], preprocess=chosen
    )
    assert_close(differences(folder, OpenClipJudge(folder), within_32(TEXTS)))


@pytest.fixture(scope="module")
def pe_core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pe_core")
    return openclip_checkpoints.openclip(folder, openclip_vits.PE_CORE["PE-Core-T-16-384"])


PE = "vit_pe_core_tiny_patch16_384"
TURNED = {"first": "column", "start": 1, "side": 24}


@pytest.mark.parametrize(
    ("trap", "changes"),
    [
        ("the row first", {"rotary": {**TURNED, "first": "row"}}),
        ("counted from 0", {"rotary": {**TURNED, "start": 0}}),
        ("another side", {"rotary": {**TURNED, "side": 16}}),
        ("the heads of the blocks in the pool", {"pool_heads": 3}),
        ("another activation", {"activation": "quick_gelu"}),
    ],
)
def test_the_traps_of_pe_core_show(trap: str, changes: dict[str, Any], pe_core: Path) -> None:
    assert differ(with_row(pe_core, PE, **changes), OpenClipJudge(pe_core).images(pictures()))
    np.testing.assert_allclose(
        with_row(pe_core, PE), OpenClipJudge(pe_core).images(pictures()), atol=1e-5
    )


def test_pe_core_has_its_own_epsilon(tmp_path: Path) -> None:
    """The trap of 1e-6, which EVA's have."""

    def flat(model: Any) -> None:  # activations so small that epsilon shows
        for name, parameter in model.visual.trunk.named_parameters():
            if name in ("pos_embed", "cls_token", "patch_embed.proj.weight"):
                parameter.data *= 1e-3

    folder = openclip_checkpoints.openclip(
        tmp_path / "model", openclip_vits.PE_CORE["PE-Core-T-16-384"], changes=flat
    )
    judge = OpenClipJudge(folder).images(pictures())
    np.testing.assert_allclose(images(folder), judge, atol=1e-5)
    assert differ(with_row(folder, PE, epsilon=1e-6), judge)


def test_the_class_token_of_pe_core_is_not_turned(pe_core: Path) -> None:
    """The trap of a table that begins with the first patch."""

    def turned(*arguments: Any, leading: int, **options: Any) -> Any:
        whole = original(*arguments, leading=0, **options)
        first = [np.concatenate([table[:1], table]) for table in (whole.cos, whole.sin)]
        return type(whole)(*first, whole.heads, whole.half)

    original = vit.rotation
    with mock.patch.object(vit, "rotation", turned):
        wrong = images(pe_core)
    assert differ(wrong, OpenClipJudge(pe_core).images(pictures()))


def test_the_pool_of_pe_core_sees_the_class_token(pe_core: Path) -> None:
    """The trap of a pool over the patches alone."""

    def patches_alone(ops: Any, p: Any, x: Any, *rest: Any) -> Any:
        return original(ops, p, ops.slice(x, 1, 1, None), *rest)

    original = vit.attention_pool
    with mock.patch.object(vit, "attention_pool", patches_alone):
        assert differ(images(pe_core), OpenClipJudge(pe_core).images(pictures()))


def test_the_giant_pe_core_has_no_class_token(tmp_path: Path) -> None:
    """The trap of a class token in front of every grid: what is not stored is not there."""
    folder = openclip_checkpoints.openclip(
        tmp_path / "model", openclip_vits.PE_CORE["PE-Core-bigG-14-448"]
    )
    tower = unseen.load(folder).model.image_tower
    assert "class_token" not in tower.names
    assert tower.shapes["visual.trunk.pos_embed"] == (1, 32 * 32, 64)
    assert tower.config.rotary.start == 0 and tower.config.pool_heads == 8


def test_a_context_of_32_cuts_with_a_warning(pe_core: Path) -> None:
    ours = unseen.load(pe_core)
    long = "a photo of " + "cats and dogs, " * 10
    with pytest.warns(unseen.UnseenWarning, match="longer than the 32 tokens"):
        rows = ours.encode_texts([long])
    np.testing.assert_allclose(rows, OpenClipJudge(pe_core).texts([long]), atol=1e-4)


# EVA


@pytest.mark.parametrize("kind", openclip_vits.EVA)
def test_every_eva_agrees_with_open_clip(kind: str, tmp_path: Path) -> None:
    folder = openclip_checkpoints.openclip(tmp_path / "model", openclip_vits.EVA[kind])
    assert_close(differences(folder, OpenClipJudge(folder)))


SCALED = {"first": "row", "start": 0, "side": 16}


@pytest.mark.parametrize(
    ("kind", "trap", "changes"),
    [
        ("EVA02-B-16", "the column first", {"rotary": {**SCALED, "first": "column"}}),
        ("EVA02-B-16", "counted from 1", {"rotary": {**SCALED, "start": 1}}),
        ("EVA02-B-16", "14 patches are not 16", {"rotary": {**SCALED, "side": 14}}),
        ("EVA02-L-14-336", "24 patches are not 16", {"rotary": {**SCALED, "side": 24}}),
        ("EVA02-B-16", "gelu in the gate", {"activation": "gelu"}),
        ("EVA02-E-14", "norms before the branches", {"post_norm": False}),
    ],
)
def test_the_traps_of_eva_show(
    kind: str, trap: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    config = openclip_vits.EVA[kind]
    folder = openclip_checkpoints.openclip(tmp_path / "model", config)
    right, name = images(folder), config["vision_cfg"]["timm_model_name"]
    np.testing.assert_allclose(right, OpenClipJudge(folder).images(pictures()), atol=1e-5)
    assert differ(with_row(folder, name, **changes), right), trap


@pytest.mark.parametrize("norm", ["attention_norm", "hidden_norm"])
def test_eva02_has_two_norms_inside_its_block(norm: str, tmp_path: Path) -> None:
    """The trap of weights that a plain block does not ask for."""
    folder = openclip_checkpoints.openclip(tmp_path / "model", openclip_vits.EVA["EVA02-B-16"])
    model = unseen.load(folder).model
    names = {n: t for n, t in model.image_tower.names.items() if f".{norm}." not in n}
    assert len(model.image_tower.names) - len(names) == 4
    tower = TowerSpec("vit", model.image_tower.config, names)
    pixels = np.stack([model.preprocess(picture) for picture in pictures()])
    wrong = reference.run(build_network(tower, model.weights.arrays), pixels)
    assert differ(wrong, images(folder))


@pytest.mark.parametrize("kind", ["EVA01-g-14", "EVA02-B-16", "EVA02-E-14"])
def test_the_keys_of_eva_have_no_bias(kind: str, tmp_path: Path) -> None:
    """The trap of q, k and v that are alike."""
    folder = openclip_checkpoints.openclip(tmp_path / "model", openclip_vits.EVA[kind])
    names = unseen.load(folder).model.image_tower.names
    biases = {name for name in names if name.startswith("layers.0.") and name.endswith("y.bias")}
    assert biases == {"layers.0.query.bias"} and "layers.0.value.bias" in names


def test_the_hidden_width_of_eva02_is_what_is_stored(tmp_path: Path) -> None:
    """The trap of 2,730: int(1024 · 8 / 3), which no rule of thumb of four widths gives."""
    folder = openclip_checkpoints.openclip(tmp_path / "model", openclip_vits.EVA["EVA02-L-14"])
    model = unseen.load(folder).model
    weight = model.weights.arrays["visual.trunk.blocks.0.mlp.fc1_g.weight"]
    assert weight.shape == (int(128 * 8 / 3), 128)


# Beside the other runtimes


@pytest.mark.parametrize("kind", ["PE-Core-B-16", "EVA02-B-16", "EVA02-E-14"])
def test_torch_and_whole_numbers_agree(kind: str, tmp_path: Path) -> None:
    folder = openclip_checkpoints.openclip(tmp_path / "model", KINDS[kind])
    model, right = unseen.load(folder).model, images(folder)
    pixels = np.stack([model.preprocess(picture) for picture in pictures()])
    np.testing.assert_allclose(TorchNetwork(model.image_network(), "cpu")(pixels), right, atol=1e-4)
    rough = unseen.load(folder, precision="int8").encode_images(pictures())
    assert (rough * right).sum(1).min() > 0.99
    assert unseen.Model.from_json(model.to_json()) == model


# CoCa

BANG = ["a cat!", "! !", *TEXTS]  # "!" is the id 0 of CLIP's own vocabulary, which is the padding


def coca(folder: Path) -> Path:
    return openclip_checkpoints.openclip(folder, openclip_vits.COCA)


@pytest.mark.parametrize("correct", [False, True], ids=["as trained", "correct mask"])
def test_coca_agrees_with_open_clip(correct: bool, tmp_path: Path) -> None:
    folder = coca(tmp_path / "model")
    judge = OpenClipJudge(folder)
    if correct:  # its text net knows it, the class of its config does not yet
        judge.model.text.correct_cls_mask = True
        say_of_text(folder, correct_cls_mask=True)
    assert_close(differences(folder, judge, BANG))


def test_a_coca_whose_pool_is_as_wide_as_its_tokens(tmp_path: Path) -> None:
    """torch then keeps query, key and value as one array."""
    config = {**openclip_vits.COCA, "embed_dim": 48}
    config["vision_cfg"] = {**config["vision_cfg"], "width": 48}
    same = openclip_checkpoints.openclip(tmp_path / "same", config)
    config["vision_cfg"] = {**config["vision_cfg"], "width": 64}
    other = openclip_checkpoints.openclip(tmp_path / "other", config)
    for folder, stored in ((same, "in_proj_weight"), (other, "k_proj_weight")):
        assert f"visual.attn_pool.attn.{stored}" in unseen.load(folder).model.weights.arrays
        assert_close(differences(folder, OpenClipJudge(folder)))


def test_a_text_of_coca_sees_one_token_of_padding_and_not_itself(tmp_path: Path) -> None:
    """The trap of its mask, which stands one place too far to the right."""
    folder = coca(tmp_path / "model")
    model = unseen.load(folder).model
    ids, _ = model.tokenizer.encode(["a cat"])
    batch, mask = model.text_inputs(ids)
    assert batch.shape == (1, 76) and mask.shape == (1, 77)
    assert mask[0].tolist() == [1] * (len(ids[0]) + 1) + [0] * (76 - len(ids[0]))
    network = model.text_network()
    right = reference.run(network, batch, mask)
    own = np.concatenate([batch != 0, np.ones((1, 1), bool)], 1).astype(np.int64)
    assert differ(reference.run(network, batch, own), right)


def test_coca_pools_by_its_first_query_and_its_own_heads(tmp_path: Path) -> None:
    folder = openclip_checkpoints.openclip(tmp_path / "model", openclip_vits.COCA)
    tower = unseen.load(folder).model.image_tower
    assert tower.config.pool_heads == 8 and tower.config.blocks.heads == 3
    assert tower.names["probe"] == Part("visual.attn_pool.query", 0, 256)


def test_the_decoder_of_coca_is_left_aside(tmp_path: Path) -> None:
    model = unseen.load(coca(tmp_path / "model")).model
    assert any(name.startswith("text_decoder.") for name in model.weights.arrays)
    stored = {*model.image_tower.names.values(), *model.text_tower.names.values()}
    assert not [name for name in stored if isinstance(name, str) and "decoder" in name]


# As large as they are


@pytest.mark.full_size
@pytest.mark.parametrize("name", ["PE-Core-B-16", "EVA02-B-16"])
def test_the_whole_model_agrees_with_open_clip(name: str, tmp_path: Path) -> None:
    config = open_clip.get_model_config(name)
    model = open_clip.CustomTextCLIP(**{k: v for k, v in config.items() if k != "custom_text"})
    set_model_preprocess_cfg(model, asdict(PreprocessCfg()))
    folder = openclip_checkpoints.save(tmp_path, checkpoints.randomise(model, 4), config)
    assert_close(differences(folder, OpenClipJudge(folder, model.eval()), within_32(TEXTS)))
