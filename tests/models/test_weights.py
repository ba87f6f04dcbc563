"""Weights by name from every form of checkpoint, lazily, with clear errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPModel

import checkpoints
import unseen
from unseen.errors import ModelError
from unseen.models.weights import open_weights


def test_every_form_gives_the_same_weights_and_embeddings(tmp_path: Path) -> None:
    first = checkpoints.clip(tmp_path / "safetensors")
    model = CLIPModel.from_pretrained(first)
    wanted = {k: v.numpy() for k, v in model.state_dict().items()}
    forms = {"safetensors": first}
    for form in ("sharded", "zip", "legacy"):
        forms[form] = checkpoints.clip(tmp_path / form)
        (forms[form] / "model.safetensors").unlink()
    model.save_pretrained(forms["sharded"], max_shard_size="200KB")
    assert len(list(forms["sharded"].glob("model-*.safetensors"))) > 2
    for form in ("zip", "legacy"):
        path = forms[form] / "pytorch_model.bin"
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=form == "zip")
    picture = np.zeros((50, 60, 3), np.uint8)
    rows = {}
    for form, folder in forms.items():
        weights = open_weights(folder)
        for name, array in wanted.items():
            np.testing.assert_array_equal(weights[name], array, f"{form}: {name}")
            assert weights.shape(name) == array.shape
        rows[form] = unseen.load(folder).encode_images([picture])
    for form, row in rows.items():
        np.testing.assert_array_equal(row, rows["safetensors"], form)


def test_half_precision_is_read_as_what_it_says(tmp_path: Path) -> None:
    tensors = {
        "bf16": torch.randn(5, 3).bfloat16(),
        "f16": torch.randn(4).half(),
        "f32": torch.randn(2),
    }
    save_file(tensors, tmp_path / "model.safetensors")
    weights = open_weights(tmp_path)
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(weights[name].astype(np.float32), tensor.float().numpy())


def test_a_missing_weight_names_its_neighbours(tmp_path: Path) -> None:
    save_file({"visual_projection.weight": torch.zeros(2, 2)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"Near it: visual_projection\.weight"):
        open_weights(tmp_path)["vision_projection.weight"]


def test_an_unread_type_is_refused_by_name(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2).to(torch.float8_e4m3fn)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="F8_E4M3"):
        open_weights(tmp_path)["w"]


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x10\0\0\0\0\0\0\0{}", b"{" * 2000])
def test_a_damaged_file_is_an_error(content: bytes, tmp_path: Path) -> None:
    for name in ("model.safetensors", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError):
            open_weights(tmp_path)
        (tmp_path / name).unlink()


def test_a_file_cut_short_is_an_error(tmp_path: Path) -> None:
    folder = checkpoints.clip(tmp_path / "cut")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="damaged"):
        open_weights(folder)


@pytest.mark.parametrize(
    "shard, words",
    [
        ("../model.safetensors", "no weight file beside it"),
        ("/etc/passwd", "no weight file beside it"),
        ("model-2.safetensors", "is missing"),
        ("model.pkl", "no weight file beside it"),
    ],
)
def test_an_index_that_lies_is_refused(shard: str, words: str, tmp_path: Path) -> None:
    index = {"weight_map": {"w": shard}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=words):
        open_weights(tmp_path)


def test_no_weights_at_all(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights in it"):
        open_weights(tmp_path)


def test_config_and_weights_must_tell_the_same_story(tmp_path: Path) -> None:
    folder = checkpoints.clip(tmp_path / "mixed")
    other = checkpoints.clip(tmp_path / "other", "B16")
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(ModelError, match="disagree"):
        unseen.load(folder).encode_images([np.zeros((9, 9, 3), np.uint8)])


@pytest.mark.parametrize(
    "key, value, words",
    [("hidden_act", "mish", "mish"), ("num_attention_heads", 7, "7 attention heads")],
)
def test_a_config_we_cannot_follow_is_refused(
    key: str, value: object, words: str, tmp_path: Path
) -> None:
    folder = checkpoints.clip(tmp_path / "odd")
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"][key] = value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=words):
        unseen.load(folder).encode_images([np.zeros((9, 9, 3), np.uint8)])
