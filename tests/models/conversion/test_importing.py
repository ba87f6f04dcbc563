"""Bare weights become a folder that every command loads; nothing in them is executed."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.numpy import load_file
from timm.models.eva import _convert_pe

import checkpoints
import openclip_checkpoints
import unseen
from judging import pictures
from unseen.models.conversion import importing
from unseen.models.weights.files import in_memory
from unseen.models.weights.names import Renamed
from unseen.models.weights.pe_names import pe_names
from unseen.models.weights.safetensors_file import SafetensorsFile, write_arrays

TINY = {"embed_dim": 48, "vision_cfg": openclip_checkpoints.SMALL}


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The list of architectures with two that are quick to make."""
    text = {**openclip_checkpoints.TEXT, "context_length": 77}
    rows = {
        "tiny": {"model_cfg": {**TINY, "text_cfg": text}},
        "tiny-quickgelu": {"model_cfg": {**TINY, "quick_gelu": True, "text_cfg": text}},
        "tiny-248": {"model_cfg": {**TINY, "text_cfg": {**text, "context_length": 248}}},
    }
    monkeypatch.setattr(importing, "architectures", lambda: rows)
    return rows


def model_of(row: dict[str, Any], folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    words = checkpoints.tokenizer(folder)
    text = {**row["model_cfg"]["text_cfg"], "vocab_size": words}
    return openclip_checkpoints.random_model({**row["model_cfg"], "text_cfg": text}, folder)


def save(model: Any, path: Path, wrapped: bool = False) -> Path:
    content = model.state_dict()
    if wrapped:  # as a training run leaves them
        content = {"state_dict": {f"module.{k}": v for k, v in content.items()}, "epoch": 3}
    torch.save(content, path)
    return path


def embedding(model: Any, folder: Path) -> np.ndarray[Any, Any]:
    """open_clip's of the first picture, by the default preprocessing."""
    pixels = unseen.load(folder).model.preprocess(pictures()[0])
    mean, std = (np.array(v) for v in importing.NORMALISATIONS["openai"].values())
    x = torch.tensor((pixels / 255 - mean) / std, dtype=torch.float32).permute(2, 0, 1)[None]
    with torch.no_grad():
        return torch.nn.functional.normalize(model.encode_image(x), dim=-1).numpy()


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_state_dict_answers_as_open_clip_does(
    wrapped: bool, tiny: dict[str, Any], tmp_path: Path
) -> None:
    model = model_of(tiny["tiny"], tmp_path)
    path = save(model, tmp_path / "weights.pt", wrapped)
    folder = importing.import_weights(path, "tiny")
    assert folder == tmp_path / "weights"
    classifier = unseen.load(folder)
    np.testing.assert_allclose(
        classifier.encode_images(pictures()[:1]), embedding(model, folder), atol=1e-4
    )
    files = {file.name for file in folder.iterdir()}
    assert {"open_clip_config.json", "open_clip_model.safetensors", "vocab.json"} <= files
    assert not [name for name in tmp_path.iterdir() if name.suffix == ".tmp"]


def test_the_architecture_decides_the_activation(tiny: dict[str, Any], tmp_path: Path) -> None:
    """The trap of two published papers, and the reason why nothing is guessed from shapes."""
    path = save(model_of(tiny["tiny"], tmp_path), tmp_path / "weights.pt")
    plain = unseen.load(importing.import_weights(path, "tiny", tmp_path / "a"))
    quick = unseen.load(importing.import_weights(path, "tiny-quickgelu", tmp_path / "b"))
    first, second = (c.encode_images(pictures()[:1]) for c in (plain, quick))
    assert np.abs(first - second).max() > 1e-3


def test_long_clip_joins_its_two_tables_of_positions(tiny: dict[str, Any], tmp_path: Path) -> None:
    """The first 20 rows of one and the rest of the other; and it reads 248 tokens."""
    model = model_of(tiny["tiny-248"], tmp_path)
    state = model.state_dict()
    rest = torch.randn(state["positional_embedding"].shape)
    torch.save({**state, "positional_embedding_res": rest}, tmp_path / "long.pt")
    folder = importing.import_weights(tmp_path / "long.pt", "tiny-248")
    mask = (torch.arange(248) < 20).float()[:, None]  # as LongCLIP's own code adds them
    model.positional_embedding.data = state["positional_embedding"] * mask + rest * (1 - mask)
    long = "a photo of a small dog, " * 20
    classifier = unseen.load(folder)
    assert classifier.model.context_length == 248
    ids, _ = classifier.model.tokenizer.encode([long], 248)
    tokens = torch.zeros(1, 248, dtype=torch.int64)
    tokens[0, : len(ids[0])] = torch.tensor(ids[0])
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.encode_text(tokens), dim=-1).numpy()
    np.testing.assert_allclose(classifier.encode_texts([long]), expected, atol=1e-4)


def test_the_names_of_perception_encoder_are_those_that_timm_gives() -> None:
    rng = np.random.default_rng(0)
    block = "visual.transformer.resblocks.1."
    shapes = {
        "visual.conv1.weight": (8, 3, 4, 4),
        "visual.class_embedding": (8,),
        "visual.positional_embedding": (5, 8),
        "visual.ln_pre.weight": (8,),
        f"{block}ln_1.bias": (8,),
        f"{block}ln_2.weight": (8,),
        f"{block}attn.in_proj_weight": (24, 8),
        f"{block}attn.out_proj.bias": (8,),
        f"{block}mlp.c_fc.weight": (16, 8),
        f"{block}mlp.c_proj.bias": (8,),
        "visual.ln_post.bias": (8,),
        "visual.attn_pool.probe": (1, 1, 8),
        "visual.attn_pool.attn.in_proj_weight": (24, 8),
        "visual.attn_pool.attn.in_proj_bias": (24,),
        "visual.attn_pool.attn.out_proj.weight": (8, 8),
        "visual.attn_pool.layernorm.weight": (8,),
        "visual.attn_pool.mlp.c_fc.weight": (16, 8),
        "visual.proj": (8, 6),
        "transformer.resblocks.0.ln_1.weight": (4,),
        "text_projection": (4, 6),
    }
    state = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    expected = _convert_pe({name: torch.tensor(array) for name, array in state.items()}, None)
    weights = in_memory(state, "test")
    renamed = Renamed(weights, pe_names(weights))
    ours = {name.removeprefix("visual.trunk."): renamed[name] for name in renamed}
    text = {
        name: ours.pop(name) for name in ("transformer.resblocks.0.ln_1.weight", "text_projection")
    }
    assert all((text[name] == state[name]).all() for name in text)
    del expected["head.bias"]  # zeros, which a net without them does not add
    assert set(ours) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(ours[name], array.numpy(), err_msg=name)


def test_weights_of_another_architecture_are_refused_and_nothing_is_left(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    path = save(model_of(tiny["tiny"], tmp_path), tmp_path / "weights.pt")
    with pytest.raises(unseen.ModelError, match=r"weights are not those of tiny-248.*disagree"):
        importing.import_weights(path, "tiny-248")
    torch.save({"a.weight": torch.zeros(3)}, path)
    with pytest.raises(unseen.ModelError, match="weights are not those of tiny: "):
        importing.import_weights(path, "tiny")
    assert not (tmp_path / "weights").exists()
    assert not [name for name in tmp_path.iterdir() if name.suffix == ".tmp"]


def test_a_folder_in_the_way_is_left_alone(tiny: dict[str, Any], tmp_path: Path) -> None:
    path = save(model_of(tiny["tiny"], tmp_path), tmp_path / "weights.pt")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "mine.txt").write_text("mine")
    with pytest.raises(unseen.ModelError, match="already exists"):
        importing.import_weights(path, "tiny")
    assert [p.name for p in (tmp_path / "weights").iterdir()] == ["mine.txt"]
    (tmp_path / "weights" / "mine.txt").unlink()
    assert importing.import_weights(path, "tiny").is_dir()


def test_a_pickle_that_would_run_something_is_refused(tiny: dict[str, Any], tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "made"),)

    checkpoints.tokenizer(tmp_path)
    torch.save({"a": torch.zeros(1), "b": Evil()}, tmp_path / "evil.pt", pickle_module=pickle)
    with pytest.raises(unseen.ModelError, match="refused"):
        importing.import_weights(tmp_path / "evil.pt", "tiny")
    assert not (tmp_path / "made").exists()


def test_what_is_not_there_is_said(tiny: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(unseen.ModelError, match=r"unknown architecture 'tin'\. Did you mean tiny"):
        importing.import_weights(tmp_path / "x.pt", "tin")
    with pytest.raises(unseen.ModelError, match="no such file of weights"):
        importing.import_weights(tmp_path / "x.pt", "tiny")
    path = save(model_of(tiny["tiny"], tmp_path), tmp_path / "weights.pt")
    with pytest.raises(unseen.ModelError, match="unknown normalisation 'x'; choose one of: openai"):
        importing.import_weights(path, "tiny", normalisation="x")
    with pytest.raises(unseen.ModelError, match="no tokenizer in it"):
        (tmp_path / "empty").mkdir()
        importing.import_weights(path, "tiny", tokenizer=str(tmp_path / "empty"))


def test_without_a_tokenizer_and_a_network_the_way_out_is_named(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(tiny["tiny"], tmp_path / "tokenizer")
    (tmp_path / "bare").mkdir()
    path = save(model, tmp_path / "bare" / "weights.pt")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(unseen.ModelError, match="name a folder that has them with --tokenizer"):
        importing.import_weights(path, "tiny")
    folder = importing.import_weights(path, "tiny", tokenizer=str(tmp_path / "tokenizer"))
    assert (folder / "merges.txt").is_file()


def test_normalisation_and_size_are_written(tiny: dict[str, Any], tmp_path: Path) -> None:
    path = save(model_of(tiny["tiny"], tmp_path), tmp_path / "weights.pt")
    folder = importing.import_weights(path, "tiny", normalisation="half", image_size=70)
    config = json.loads((folder / "open_clip_config.json").read_text())
    assert config["preprocess_cfg"]["mean"] == [0.5, 0.5, 0.5]
    assert unseen.load(folder).model.preprocess.std == (0.5, 0.5, 0.5)
    with pytest.raises(unseen.ModelError, match="not those of tiny"):
        importing.import_weights(path, "tiny", tmp_path / "other", image_size=84)


def test_written_arrays_are_read_by_the_library(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3).T,  # not contiguous
        "b": np.array([1.5, -2], np.float16),
        "c": np.array(7, np.int64),
        "d": np.zeros((0, 3), np.float64),
        "e": np.arange(3, dtype=">f4"),
    }
    write_arrays(tmp_path / "x.safetensors", arrays)
    read = load_file(tmp_path / "x.safetensors")
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
    assert SafetensorsFile(tmp_path / "x.safetensors").shape("a") == (3, 2)


# The architectures as data


def test_every_architecture_is_open_clips_config() -> None:
    """What is kept is what open_clip has; what is left out is of training."""
    dropped = {"timm_drop", "timm_drop_path", "timm_model_pretrained", "hf_model_pretrained"}
    dropped |= {"patch_dropout", "output_tokens", "vocab_size"}

    def plain(config: Any) -> Any:
        if not isinstance(config, dict):
            return config
        return {key: plain(value) for key, value in config.items() if key not in dropped}

    ours = importing.architectures()
    own = {"LongCLIP-B", "LongCLIP-L"}
    for name in set(ours) - own:
        assert ours[name]["model_cfg"] == plain(open_clip.get_model_config(name)), name
    for name in own:
        assert ours[name]["model_cfg"]["text_cfg"]["context_length"] == 248
        assert ours[name]["model_cfg"]["quick_gelu"] is True
