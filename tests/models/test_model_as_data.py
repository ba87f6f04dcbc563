"""A model is data: written to JSON and read back, or pickled, it answers bit for bit the same."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import checkpoints
import hf_checkpoints
import openclip_checkpoints
from judging import TEXTS, pictures
from unseen.encoder import Encoder
from unseen.errors import ModelError
from unseen.load_options import LoadOptions
from unseen.models import families, hub
from unseen.models.inputs import PictureArrays
from unseen.models.model import Model
from unseen.models.towers import TowerSpec, build_network
from unseen.networks.network import Input, Network, single_output
from unseen.runtimes import reference

# One checkpoint a family, and where a rule computes a parameter, one for each rule.
MAKERS: dict[str, Callable[[Path], Path]] = {
    "clip": checkpoints.clip,
    "siglip": hf_checkpoints.siglip,
    "altclip": hf_checkpoints.altclip,
    "chinese_clip": hf_checkpoints.chinese_clip,
    "align": hf_checkpoints.align,
    "clipseg": hf_checkpoints.clipseg,
    **{
        f"openclip, {kind}": lambda folder, kind=kind: openclip_checkpoints.openclip(folder, kind)
        for kind in openclip_checkpoints.KINDS
    },
}


def read(name: str) -> Model:
    return families.read(hub.locate(name))


def answers(model: Model) -> list[np.ndarray[Any, Any]]:
    """What both nets answer in the reference runtime, which has no cache, to some inputs."""
    texts = list(model.labels) or TEXTS
    ids, _ = model.tokenizer.encode(texts, model.context_length)
    pixels = model.image_inputs([model.preprocess(image) for image in pictures()[:2]])
    return [
        *pixels,
        reference.run(model.image_network(), *pixels),
        reference.run(model.text_network(), *model.text_inputs(ids)),
    ]


def assert_the_same(copy: Model, model: Model) -> None:
    assert copy == model and copy.card == model.card
    assert str(copy.preprocess) == str(model.preprocess)
    for mine, right in zip(answers(copy), answers(model), strict=True):
        np.testing.assert_array_equal(mine, right)


@pytest.mark.parametrize("kind", MAKERS)
def test_it_goes_through_json_and_pickle(kind: str, tmp_path: Path) -> None:
    model = read(str(MAKERS[kind](tmp_path / "model")))
    assert_the_same(Model.from_json(model.to_json()), model)
    assert_the_same(pickle.loads(pickle.dumps(model)), model)


def test_the_builtin_model_does_too() -> None:
    model = read("builtin")
    assert_the_same(Model.from_json(model.to_json()), model)
    assert_the_same(pickle.loads(pickle.dumps(model)), model)


def test_weights_and_tokenizer_stay_out_of_a_pickle(shapes_clip: Path) -> None:
    model = read(str(shapes_clip))
    before = len(pickle.dumps(model))
    answers(model)
    assert len(pickle.dumps(model)) == before < 100_000


def test_it_finds_files_that_were_moved(shapes_clip: Path, tmp_path: Path) -> None:
    first = shutil.copytree(shapes_clip, tmp_path / "first")
    model = read(str(first))
    text, right = model.to_json(), answers(model)
    second = first.rename(tmp_path / "second")
    copy = Model.from_json(text, folder=str(second))
    for mine, expected in zip(answers(copy), right, strict=True):
        np.testing.assert_array_equal(mine, expected)
    with pytest.raises(ModelError, match="first"):
        Model.from_json(text).image_network()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), "unseen-model-9", "not a model of the format"),
        (("preprocess", "kind"), "fold", "preprocess is of an unknown kind; choose one of: resize"),
        (("preprocess", "crop"), [64], "preprocess.crop is"),
        (("preprocess", "extra"), 1, "unknown key 'extra'"),
        (("text_inputs", "kind"), None, "text_inputs is of an unknown kind"),
        (("image_tower", "kind"), "mamba", "unknown kind 'mamba'; choose one of: vit"),
        (("image_tower", "config", "patch"), "8", "image_tower.config.patch is '8'; expected int"),
        (("image_tower", "names", "positions"), {"kind": "x"}, "names.positions is of an unknown"),
        (("score", "rule"), 1, "model.score.rule is 1; expected str"),
        (("dimension",), None, "model.dimension is None; expected int"),
    ],
)
def test_what_is_not_a_model_is_an_error_that_names_the_place(
    path: tuple[str, ...], value: Any, message: str, shapes_clip: Path
) -> None:
    plain = read(str(shapes_clip)).to_dict()
    part = plain
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    with pytest.raises(ModelError, match=message):
        Model.from_json(json.dumps(plain))


def test_a_missing_field_is_named(shapes_clip: Path) -> None:
    for key in ("fingerprint", "score", "weights"):
        plain = read(str(shapes_clip)).to_dict()
        del plain[key]
        with pytest.raises(ModelError, match=f"model has no '{key}'"):
            Model.from_dict(plain)
    with pytest.raises(ModelError, match="not JSON"):
        Model.from_json("{")


def test_a_network_is_checked_against_the_shapes_of_the_config(shapes_clip: Path) -> None:
    model = read(str(shapes_clip))
    tower = model.image_tower
    name = "visual_projection.weight"
    other = replace(tower, shapes={**tower.shapes, name: (63, 64)})
    with pytest.raises(ModelError, match=rf"disagree: {name} has the shape"):
        build_network(other, model.weights.arrays)
    plain = {key: model.weights.arrays[key] for key in model.weights.arrays}  # any mapping will do
    assert build_network(tower, plain).inputs == model.image_network().inputs


# a picture of several arrays


@dataclass(frozen=True)
class Halves:
    """Two arrays of different shapes a picture: its left half, and the size it had."""

    target = None

    def __call__(self, image: Image.Image) -> PictureArrays:
        pixels = np.asarray(image.resize((8, 8)))
        return pixels[:, :4], np.array(image.size, np.int64)


def test_a_picture_may_be_several_arrays(shapes_clip: Path, fresh_home: Path) -> None:
    """They are stacked input by input, and rows keep their order beside a broken picture."""
    model = replace(read(str(shapes_clip)), preprocess=Halves(), dimension=2)

    def body(ops: Any, p: Any, halves: Any, sizes: Any) -> Any:
        table = np.arange(1000, dtype=np.float32).reshape(-1, 1)
        size = ops.mean(ops.embedding(table, sizes), (1,))
        grey = ops.reshape(ops.mean(ops.pixels(halves), (1, 2, 3)), (-1, 1))
        return ops.l2_normalise(ops.concat([grey, size], 1))

    inputs = (Input("halves", "uint8", (None, 8, 4, 3)), Input("sizes", "int64", (None, 2)))
    network = single_output("image", inputs, body, (None, 2))

    class TwoInputs(Model):
        def image_network(self) -> Network[Any]:
            return network

    two = TwoInputs(**{name: getattr(model, name) for name in model.__dataclass_fields__})
    encoder = Encoder(two, LoadOptions(two.name, device="cpu"))
    greys = {(3, 5): 9, (50, 20): 200, (7, 7): 30}
    first, *others = (np.full((*size, 3), grey, np.uint8) for size, grey in greys.items())
    stream = list(encoder.stream_images([first, "missing.png", *others], batch_size=2))
    assert [encoded.error is None for encoded in stream] == [True, False, True, True]
    rows = np.stack([encoded.embedding for encoded in stream if encoded.embedding is not None])
    right = np.array([[grey, sum(size) / 2] for size, grey in greys.items()])
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, right, atol=1e-5)


def test_a_tower_goes_through_json_by_itself(shapes_clip: Path) -> None:
    tower = read(str(shapes_clip)).text_tower
    assert TowerSpec.from_dict(json.loads(json.dumps(tower.to_dict()))) == tower
