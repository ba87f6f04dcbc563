"""The built-in model: what its two networks promise, and that both runtimes agree on it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unseen.models import families, hub, reference_outputs
from unseen.models.compiled import reference_key
from unseen.models.families import builtin
from unseen.models.model import Model
from unseen.models.weights.files import Weights, open_weights
from unseen.models.weights.names import Renamed
from unseen.networks.builtin import sentence_network
from unseen.networks.network import EMBEDDING, Output
from unseen.runtimes import onnx, reference

CLASSES = 1000
TEXTS = ["a photo of a cat", "a photo of a fire engine", "x", "a photo of a naïve 猫 🎉"]


@pytest.fixture(scope="module")
def model() -> Model:
    return families.read(hub.locate("builtin"))


@pytest.fixture(scope="module")
def weights() -> Weights:
    return open_weights(hub.BUILTIN_FOLDER)


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return dict(json.loads((hub.BUILTIN_FOLDER / "config.json").read_text()))


@pytest.fixture(scope="module")
def compiled(model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("builtin")
    networks = {"image": model.image_network(), "text": model.text_network()}
    return {
        tower: onnx.OnnxNetwork(onnx.compile_network(network, folder))
        for tower, network in networks.items()
    }


@pytest.fixture(scope="module")
def pixels(model: Model, photographs: Path) -> Any:
    paths = [photographs / "cat" / "cat_1.jpg", photographs / "castle" / "castle_1.jpg"]
    return np.stack([model.preprocess(Image.open(path).convert("RGB")) for path in paths])


@pytest.mark.parametrize("tower", ["image", "text"])
def test_the_right_outputs_that_ship_are_those_of_the_reference_runtime(
    model: Model, tower: str
) -> None:
    source = reference_outputs.tower(model, tower)
    key = reference_key(source.key)
    path = Path(reference_outputs.__file__).parents[1] / "data" / "check" / f"{key}.npz"
    assert path.is_file(), "run tools/ship_reference.py: the model has changed, or the version"
    shipped = reference_outputs.reference_outputs(source, (EMBEDDING,), key)
    inputs, operations = source.examples(), reference_outputs.RangeOperations()
    outputs = source.make().apply(operations, *inputs, outputs=(EMBEDDING,))
    for right, array in zip(inputs, shipped.inputs, strict=True):
        np.testing.assert_allclose(array, right, atol=0.02)  # one level of grey, at most
    np.testing.assert_allclose(shipped.outputs[0], outputs[EMBEDDING], atol=1e-5)
    for largest, array in zip(operations.ranges, shipped.ranges, strict=True):
        np.testing.assert_allclose(array, largest, rtol=1e-4, atol=1e-5)


def text_arrays(model: Model, texts: list[str]) -> Any:
    return model.text_inputs(model.tokenizer.encode(texts, model.context_length)[0])


def test_it_is_complete(model: Model) -> None:
    assert model.family == "builtin"
    assert model.template.count("{}") == 1
    assert model.score.rule == "softmax"
    for network in (model.image_network(), model.text_network()):
        assert network.outputs[0] == Output("embedding", (None, model.dimension))


def test_runtimes_agree_on_pictures(model: Model, compiled: Any, pixels: Any) -> None:
    expected = reference.run(model.image_network(), pixels[:1])
    assert np.abs(compiled["image"](pixels[:1]) - expected).max() <= 1e-4


def test_runtimes_agree_on_texts(model: Model, compiled: Any) -> None:
    arrays = text_arrays(model, TEXTS)
    expected = reference.run(model.text_network(), *arrays)
    assert np.abs(compiled["text"](*arrays) - expected).max() <= 1e-4


def test_rows_have_length_one(compiled: Any, model: Model, pixels: Any) -> None:
    rows = np.concatenate([compiled["image"](pixels), compiled["text"](*text_arrays(model, TEXTS))])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-5)


def test_a_batch_changes_nothing(compiled: Any, model: Model, pixels: Any) -> None:
    np.testing.assert_allclose(
        compiled["image"](pixels)[1:], compiled["image"](pixels[1:]), atol=1e-5
    )
    together = compiled["text"](*text_arrays(model, TEXTS))
    alone = [compiled["text"](*text_arrays(model, [text]))[0] for text in TEXTS]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_text_has_no_looks(compiled: Any, model: Model) -> None:
    rows = compiled["text"](*text_arrays(model, TEXTS))
    assert not rows[:, CLASSES:].any()


def test_a_text_is_the_root_of_probabilities(
    compiled: Any, model: Model, weights: Weights, config: dict[str, Any]
) -> None:
    arrays = text_arrays(model, TEXTS)
    stored = Renamed(weights, builtin.stored(weights, "text."))
    sentences = reference.run(sentence_network(builtin.text_blocks(config), stored), *arrays)
    logits = config["sharpness"] * sentences @ weights["image.classes"].astype(np.float32).T
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    squares = compiled["text"](*arrays)[:, :CLASSES] ** 2
    np.testing.assert_allclose(squares, probabilities, atol=1e-5)


def test_a_picture_is_the_root_of_probabilities(
    compiled: Any, pixels: Any, config: dict[str, Any]
) -> None:
    meaning = compiled["image"](pixels)[:, :CLASSES] / config["meaning_share"]
    np.testing.assert_allclose((meaning**2).sum(1), 1.0, atol=1e-4)
    assert (np.count_nonzero(meaning, axis=1) <= config["top_classes"]).all()


def test_names_of_classes_find_their_class(compiled: Any, model: Model) -> None:
    """Places in ImageNet's list: a few that everyone can look up."""
    known = {"goldfish": 1, "tabby": 281, "ambulance": 407, "banana": 954, "volcano": 980}
    prompts = [model.template.replace("{}", name) for name in known]
    rows = compiled["text"](*text_arrays(model, prompts))[:, :CLASSES]
    assert rows.argmax(1).tolist() == list(known.values())


def test_int8_rows_are_scaled_back(weights: Weights) -> None:
    stored = Renamed(weights, builtin.stored(weights, "text."))
    tokens = stored["tokens"]
    assert tokens.dtype == np.float32
    largest = weights["text.tokens.scale"].astype(np.float32) * 127
    np.testing.assert_allclose(np.abs(tokens).max(1), largest, rtol=0.01)
    assert "tokens.missing" not in stored
    with pytest.raises(KeyError):
        stored["tokens.missing"]


@pytest.mark.parametrize("size", [(30_000, 10), (10, 30_000), (1, 1), (261, 259)])
def test_any_shape_costs_little(model: Model, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, "red")
    start = time.thread_time()
    views = model.preprocess(image)
    assert time.thread_time() - start < 0.5
    assert views.shape == (2, 260, 260, 3)
    assert (views[1] == (255, 0, 0)).all()  # the centre square is all picture
