"""Which named parameters a network uses, held against what the checkpoints hold."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import checkpoints
import hf_checkpoints
import unseen
from unseen.models.weights.names import stored_names
from unseen.networks.parameters import NamedParameters, used_parameters

PATCH = "vision_model.embeddings.patch_embedding.weight"


def stored(folder: Path) -> dict[str, tuple[int, ...]]:
    return {n: array.shape for n, array in load_file(folder / "model.safetensors").items()}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.clip(tmp_path_factory.mktemp("parameters") / "clip", "odd")


def test_every_weight_of_a_clip_but_the_folded_ones_is_used_under_its_own_name(clip: Path) -> None:
    model = unseen.load(clip).model
    towers = (model.image_network(), model.text_network())
    used = {n for network in towers for n in stored_names(network).values()}
    rest = {n for n in stored(clip) if not n.endswith("position_ids")}
    # The normalisation of pixels is folded into the patch convolution, and no network scales.
    assert rest - used == {PATCH, "logit_scale"}
    assert used <= rest
    shapes = stored(clip)
    for network in towers:
        names = stored_names(network)
        for name, shape in used_parameters(network).items():
            assert shape == shapes[names[name]]


def test_an_output_uses_only_what_it_needs(clip: Path) -> None:
    network = unseen.load(clip).model.image_network()
    whole, features = used_parameters(network), used_parameters(network, ["features"])
    assert set(whole) - set(features) == {"projection.weight"}
    assert "visual_projection.weight" not in stored_names(network, ["features"]).values()


def test_folded_batch_norms_belong_to_nobody(tmp_path: Path) -> None:
    folder = hf_checkpoints.align(tmp_path / "align")
    network = unseen.load(folder).model.image_network()
    names = set(stored_names(network).values())
    shapes = stored(folder)
    assert names == {n for n in shapes if ".squeeze_excite." in n}
    assert "stem.weight" in used_parameters(network)  # used, but stored as something else


def test_only_the_array_that_was_read_has_a_name() -> None:
    named = NamedParameters({"half": np.ones((4, 4), np.float16), "double": np.ones(3, np.float64)})
    half = named["half"]
    assert half.dtype == np.float32 and named.name_of(half) == "half"
    assert named.name_of(named["double"]) == "double"
    for other in (half[1:], half.T, half.copy(), half * 2, np.ones(3)):
        assert named.name_of(other) is None
    assert "half" in named and "none" not in named
    assert list(named) == ["half", "double"] and len(named) == 2


def test_parameters_are_not_kept_alive() -> None:
    class Rows(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            return np.zeros(1000, np.float32)

    named = NamedParameters(Rows(a=None))
    reads = [named["a"]]
    reference = named._read[id(reads[0])][0]
    assert reference() is reads[0]
    reads.clear()
    gc.collect()
    assert reference() is None
