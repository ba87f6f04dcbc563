"""What a stranger may write into the JSON files of a checkpoint: it loads rightly, or it is a
ModelError that says where, soon, and nothing else."""

from __future__ import annotations

import copy
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hf_checkpoints
import openclip_checkpoints
from unseen.errors import ModelError
from unseen.models import families, hub
from unseen.models.checkpoint import Checkpoint
from unseen.models.model import Model

CONFIG, PROCESSOR, OPEN_CLIP = (
    "config.json",
    "preprocessor_config.json",
    "open_clip_config.json",
)
SHAPES_CLIP = Path(__file__).parents[1] / "fixtures" / "shapes-clip"
MAKERS: dict[str, Callable[[Path], Path]] = {
    "clip": lambda folder: Path(shutil.copytree(SHAPES_CLIP, folder)),
    "siglip": lambda folder: hf_checkpoints.siglip(folder),
    "altclip": lambda folder: hf_checkpoints.altclip(folder, layers=2),
    "chinese_clip": lambda folder: hf_checkpoints.chinese_clip(folder, layers=2),
    "align": lambda folder: hf_checkpoints.align(folder),
    "openclip": lambda folder: openclip_checkpoints.openclip(folder, "vit"),
}
STRANGE: tuple[Any, ...] = (
    *(None, True, "x", "", [], {}, [1], {"a": 1}, [[[[]]]], ["x", {}, None]),
    *(0, -1, 1, 2, 7, 1.5, -0.0, 10**9, -(10**9), 10**30, 1e300, math.nan, math.inf),
)
SECONDS = 20  # generous: what is refused here took minutes, or the memory of the machine


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("hostile")
    return {name: make(root / name) for name, make in MAKERS.items()}


def load(folder: Path) -> Model:
    """The model, without its fingerprint; the shapes of its weights are looked at, too."""
    model = families.read(Checkpoint("tiny", folder, config_file=hub.config_file(folder)))
    model.image_network(), model.text_network()
    return replace(model, fingerprint="")


class Changed:
    """One file of a folder with another content, for a while."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.before = path.read_text("utf-8")
        self.content = json.loads(self.before)

    def __enter__(self) -> Changed:
        return self

    def __exit__(self, *_: object) -> None:
        self.path.write_text(self.before, "utf-8")

    def write(self, keys: tuple[str, ...], value: Any) -> None:
        changed = inner = copy.deepcopy(self.content)
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = value
        self.path.write_text(json.dumps(changed), "utf-8")


def keys_of(content: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in content.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from keys_of(value, (*above, key))


@pytest.mark.parametrize("family", MAKERS)
def test_no_value_of_any_key_ends_in_another_error(folders: dict[str, Path], family: str) -> None:
    folder = folders[family]
    names = [n for n in (CONFIG, PROCESSOR, OPEN_CLIP) if (folder / n).is_file()]
    tried = refused = 0
    slowest = 0.0
    for name in names:
        with Changed(folder / name) as file:
            for number, keys in enumerate(keys_of(file.content)):
                for value in STRANGE[number % 3 :: 3]:
                    file.write(keys, value)
                    start = time.monotonic()
                    tried += 1
                    try:
                        load(folder)
                    except ModelError:
                        refused += 1
                    except Exception as error:
                        raise AssertionError(f"{name}: {keys} = {value!r}: {error!r}") from error
                    slowest = max(slowest, time.monotonic() - start)
    assert 0 < refused < tried
    assert slowest < SECONDS


WRONG: dict[str, tuple[str, str, tuple[str, ...], Any, str]] = {
    "a billion layers": ("clip", CONFIG, ("text_config", "num_hidden_layers"), 10**9, "1 to 1000"),
    "more layers than weights": (
        *("clip", CONFIG, ("vision_config", "num_hidden_layers"), 5),
        "the config says 5 layers, the weights have 4",
    ),
    "fewer layers than weights": (
        *("clip", CONFIG, ("text_config", "num_hidden_layers"), 2),
        "the config says 2 layers, the weights have 3",
    ),
    "no layers": ("siglip", CONFIG, ("text_config", "num_hidden_layers"), 0, "num_hidden_layers"),
    "a text for a number": ("altclip", CONFIG, ("text_config", "hidden_size"), "wide", "'wide'"),
    "an end that no tokenizer gives": (
        *("clip", CONFIG, ("text_config", "eos_token_id"), 0),
        "a text ends in the token 0",
    ),
    "an end below zero": (
        "clip",
        CONFIG,
        ("text_config", "eos_token_id"),
        -1,
        "is -1",
    ),
    "an end far above": (
        *("clip", CONFIG, ("text_config", "eos_token_id"), 10**9),
        "eos_token_id is 1000000000",
    ),
    "padding outside": ("altclip", CONFIG, ("text_config", "pad_token_id"), 9000, "pad_token_id"),
    "a tower that is a list": (
        "chinese_clip",
        CONFIG,
        ("vision_config",),
        [1],
        "an object or null",
    ),
    "a patch of nothing": ("clip", CONFIG, ("vision_config", "patch_size"), 0, "patch_size is 0"),
    "a patch larger than the picture": (
        *("siglip", CONFIG, ("vision_config", "patch_size"), 4000),
        "larger than the picture",
    ),
    "a deviation of nothing": ("clip", PROCESSOR, ("image_std",), [0, 1, 1], "image_std is"),
    "two channels": ("clip", PROCESSOR, ("image_mean",), [0.5, 0.5], "a list of 3 values"),
    "not a number": ("clip", PROCESSOR, ("rescale_factor",), math.nan, "rescale_factor is nan"),
    "a filter of no name": ("clip", PROCESSOR, ("resample",), 99, "3 (bicubic)"),
    "a size without a width": ("clip", PROCESSOR, ("crop_size",), {"height": 64}, "no width"),
    "a side of a billion": ("clip", PROCESSOR, ("size", "shortest_edge"), 10**9, "1 to 4096"),
    "a billion blocks": (
        *("align", CONFIG, ("vision_config", "num_block_repeats"), [10**9] * 7),
        "num_block_repeats is",
    ),
    "many blocks": (
        "align",
        CONFIG,
        ("vision_config", "depth_coefficient"),
        99,
        "the weights have",
    ),
    "no width": ("openclip", OPEN_CLIP, ("model_cfg", "embed_dim"), None, "embed_dim is None"),
    "no head": (
        *("openclip", OPEN_CLIP, ("model_cfg", "vision_cfg", "head_width"), 10**4),
        "0 attention heads",
    ),
    "three sides": (
        *("openclip", OPEN_CLIP, ("model_cfg", "vision_cfg", "image_size"), [70, 70, 70]),
        "image_size is [70, 70, 70]",
    ),
    "a pooling that is a list": (
        *("openclip", OPEN_CLIP, ("model_cfg", "text_cfg", "pool_type"), ["last"]),
        "pool_type is ['last']",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_an_error_says_what_was_given_and_what_is_allowed(
    folders: dict[str, Path], case: str
) -> None:
    family, name, keys, value, message = WRONG[case]
    with Changed(folders[family] / name) as file:
        file.write(keys, value)
        start = time.monotonic()
        with pytest.raises(ModelError) as error:
            load(folders[family])
    assert message in str(error.value)
    assert time.monotonic() - start < SECONDS


@pytest.mark.parametrize("name", [CONFIG, PROCESSOR])
@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"image_size": ' + "9" * 5000 + "}",
        "[]",
        "null",
        "",
        "\ufeff{}",
        '{"a": 1} x',
        " " * (1 << 22) + "{}",
    ],
    ids=["deep", "deep object", "digits", "list", "null", "empty", "mark", "more", "large"],
)
def test_a_file_that_is_no_object(folders: dict[str, Path], name: str, content: str) -> None:
    with Changed(folders["clip"] / name) as file:
        file.path.write_text(content, "utf-8")
        with pytest.raises(ModelError) as error:
            load(folders["clip"])
    assert name in str(error.value)


@pytest.mark.parametrize("family", MAKERS)
def test_what_is_not_read_changes_nothing(folders: dict[str, Path], family: str) -> None:
    folder = folders[family]
    name = OPEN_CLIP if family == "openclip" else CONFIG
    before = load(folder)
    with Changed(folder / name) as file:
        file.write(("of_another_library",), {"num_hidden_layers": 10**9})
        assert load(folder) == before


def test_a_null_is_a_step_that_is_not_made(folders: dict[str, Path]) -> None:
    """transformers' newer processors write nulls; its own reading of them is the judge."""
    from PIL import Image
    from transformers import CLIPImageProcessor

    folder = folders["clip"]
    picture = Image.linear_gradient("L").convert("RGB").resize((64, 64))
    with Changed(folder / PROCESSOR) as file:
        for key in ("do_resize", "do_center_crop", "do_normalize"):
            content = file.content | {key: None}
            if key == "do_center_crop":
                content |= {"crop_size": None, "size": {"height": 64, "width": 64}}
            file.path.write_text(json.dumps(content), "utf-8")
            judge = CLIPImageProcessor.from_pretrained(folder)(picture, return_tensors="np")
            preprocess = load(folder).preprocess
            scale, shift = preprocess.normalisation()
            ours = preprocess(picture) * np.array(scale) + np.array(shift)
            theirs = np.asarray(judge["pixel_values"])[0].transpose(1, 2, 0)
            np.testing.assert_allclose(ours, theirs, atol=1e-5)
        for key in ("resample", "rescale_factor", "image_mean", "size"):
            file.write((key,), None)
            with pytest.raises(ModelError, match=key):
                load(folder)


def test_every_config_of_open_clip_is_of_the_kinds_that_are_allowed() -> None:
    import open_clip

    from unseen.models.families.openclip import settings

    configs = [*Path(open_clip.__file__).parent.glob("model_configs/*.json")]
    read = 0
    for path in configs:
        model_cfg = json.loads(path.read_text("utf-8"))
        for tower, defaults in (
            ("vision_cfg", settings.VISION_DEFAULTS),
            ("text_cfg", settings.TEXT_DEFAULTS),
        ):
            try:
                settings.tower(model_cfg, tower, defaults)
                read += 1
            except ModelError as error:  # what is not supported is so by name, not by its range
                assert "allowed is" not in str(error), path.name
    assert read > len(configs)
