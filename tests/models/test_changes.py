"""Changes of our parameters, and of what a checkpoint stores: the way back of every rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import checkpoints
import hf_checkpoints
import openclip_checkpoints
import openclip_vits
from unseen.models import families, hub
from unseen.models.model import Model
from unseen.models.towers import build_network
from unseen.models.weights.changes import Changed, stored_changes, trainable
from unseen.models.weights.files import open_files
from unseen.models.weights.rules import Scaled
from unseen.models.weights.safetensors_file import narrow, write_arrays
from unseen.models.weights.torch_archive import widen

MAKERS: dict[str, Callable[[Path], Path]] = {
    "clip": lambda folder: checkpoints.clip(folder, "odd", layers=2),
    "openclip": lambda folder: openclip_checkpoints.openclip(folder, "vit"),
    "openclip, scaled": lambda folder: openclip_checkpoints.openclip(folder, "layer scales"),
    "openclip, resnet": lambda folder: openclip_checkpoints.openclip(folder, "resnet"),
    "openclip, rotary": lambda folder: openclip_checkpoints.openclip(
        folder, openclip_vits.EVA["EVA02-B-16"]
    ),
    "siglip": hf_checkpoints.siglip,
}


def read(folder: Path) -> Model:
    return families.read(hub.locate(str(folder)))


@pytest.mark.parametrize("name", MAKERS)
def test_a_change_comes_back_as_what_was_changed(name: str, tmp_path: Path) -> None:
    model = read(MAKERS[name](tmp_path / "model"))
    rng = np.random.default_rng(1)
    for tower, network in (
        (model.image_tower, model.image_network()),
        (model.text_tower, model.text_network()),
    ):
        shapes = trainable(network)
        changes = {
            ours: rng.standard_normal(shape).astype(np.float32) * 0.1
            for ours, shape in shapes.items()
        }
        stored = stored_changes(network, changes)
        weights = model.weights.arrays
        assert {*stored} <= {*weights}
        changed = build_network(tower, Changed(weights, stored))
        for ours, change in changes.items():
            expected = np.asarray(network.parameters[ours], np.float32) + change
            np.testing.assert_allclose(changed.parameters[ours], expected, atol=2e-5, err_msg=ours)
        half = build_network(tower, Changed(weights, stored, 0.5))
        ours = next(iter(changes))
        expected = np.asarray(network.parameters[ours], np.float32) + changes[ours] / 2
        np.testing.assert_allclose(half.parameters[ours], expected, atol=2e-5)
        # No share, and no change, are the very bytes.
        nothing = {n: np.zeros_like(change) for n, change in stored.items()}
        for same in (Changed(weights, stored, 0.0), Changed(weights, nothing)):
            assert all(same[n].tobytes() == weights[n].tobytes() for n in stored)


def test_what_is_scaled_by_nothing_is_not_changed(tmp_path: Path) -> None:
    weights = {"w": np.ones((2, 3), np.float32), "gamma": np.array([2.0, 0.0], np.float32)}
    from unseen.models.weights.changes import BACK

    name, change = BACK[Scaled](Scaled("w", "gamma"), np.ones((2, 3), np.float32), weights)
    assert name == "w" and change.tolist() == [[0.5] * 3, [0.0] * 3]


def test_bfloat16_is_written_as_torch_rounds_it(tmp_path: Path) -> None:
    values = np.random.default_rng(2).standard_normal(2000).astype(np.float32)
    values = np.concatenate([values, np.float32([0, -0.0, 1 + 2**-8, 1 + 3 * 2**-8, 1e-40, 3e38])])
    expected = torch.from_numpy(values).bfloat16()
    assert (widen(narrow(values)) == expected.float().numpy()).all()
    file = tmp_path / "half.safetensors"
    write_arrays(file, {"a": values, "b": values[:3]}, bfloat16={"a"})
    back = load_file(file)
    assert back["a"].dtype == torch.bfloat16 and torch.equal(back["a"], expected)
    assert back["b"].dtype == torch.float32
    assert open_files([file], "half").bfloat16 == {"a"}


def test_changes_of_bfloat16_are_those_that_are_written(tmp_path: Path) -> None:
    stored = torch.linspace(-1, 1, 12).reshape(3, 4).bfloat16()
    save_file({"w": stored, "other": torch.ones(2)}, tmp_path / "a.safetensors")
    weights = open_files([tmp_path / "a.safetensors"], "a")
    changed = Changed(weights, {"w": np.full((3, 4), 0.011, np.float32)})
    write_arrays(tmp_path / "b.safetensors", changed, bfloat16=changed.bfloat16)
    back = load_file(tmp_path / "b.safetensors")
    assert torch.equal(back["w"], (stored.float() + 0.011).bfloat16())
    assert (changed["w"] == back["w"].float().numpy()).all()
