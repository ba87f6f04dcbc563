"""The built-in model: an ImageNet classifier and a sentence encoder, joined without training.

A picture is what the classifier makes of it, probabilities over ImageNet's 1,000 classes. A label
becomes the same: the softmax over those classes of how near their names and glosses are to it.
The two are compared by Bhattacharyya's coefficient, Σ √pᵢ·√qᵢ, which is the cosine of their square
roots (the probability product kernel of Jebara, Kondor & Howard 2004, JMLR 5). Beside it the
embedding keeps the picture's own features, so that pictures compare with pictures; a text has
zeros there. tools/build_builtin.py makes the weights, docs/builtin.md tells the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unseen.images.preprocess import TwoViews
from unseen.models import hub
from unseen.models.families import hf_bert
from unseen.models.model import SMALL_BATCH, Model, Score
from unseen.models.tokenizer import Tokenizer
from unseen.models.weights import Weights, open_weights
from unseen.networks import bert, efficientnet
from unseen.networks.network import EMBEDDING, FEATURES, Input, Network, Output, single_output
from unseen.networks.operations import Array, Operations
from unseen.networks.transformer import Blocks

T = TypeVar("T")

TEXT_INPUTS = (Input("ids", "int64", (None, None)), Input("mask", "int64", (None, None)))
(WIDTH,) = efficientnet.lite2_shapes()["head.bias"]  # of the image net's features: 1280
SCALE = ".scale"  # int8 rows are stored with a scale each, under the weight's name with this


class Stored(Mapping[str, Array]):
    """The part of the weights under `prefix`, as float32: fp16 widened, int8 rows scaled."""

    def __init__(self, weights: Weights, prefix: str) -> None:
        self._weights = weights
        self._prefix = prefix

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        full = self._prefix + name
        if full not in self._weights:
            raise KeyError(name)
        array = self._weights[full].astype(np.float32)
        if full + SCALE in self._weights:
            array *= self._weights[full + SCALE].astype(np.float32)[:, None]
        return array

    def __iter__(self) -> Iterator[str]:
        return (n.removeprefix(self._prefix) for n in self._weights if n.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._prefix + name in self._weights


def read(checkpoint: hub.Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the files that ship with the package."""
    weights = open_weights(checkpoint.folder)
    return Model(
        name=checkpoint.name,
        revision=None,
        family="builtin",
        fingerprint=hub.fingerprint(checkpoint),
        dimension=config["dimension"],
        preprocess=TwoViews(config["image_size"]),
        tokenizer=Tokenizer.from_folder(checkpoint.folder),
        context_length=config["context_length"],
        text_inputs=hf_bert.text_inputs,
        score=Score("softmax", scale=config["logit_scale"]),
        image_network=partial(image_network, weights, config),
        text_network=partial(text_network, weights, config),
        template=config["template"],
        batch_size=SMALL_BATCH,
    )


def image_network(weights: Weights, config: dict[str, Any]) -> Network[Any]:
    """uint8 (n, 2, side, side, 3), two views of each picture → `embedding` (n, dimension), and
    `features` (n, 1280), the mean of the views' before the classifier."""
    side = config["image_size"]

    def body(
        ops: Operations[T], p: Mapping[str, Array], requested: frozenset[str], images: T
    ) -> dict[str, T]:
        x = ops.pixels(ops.reshape(images, (-1, side, side, 3)))
        x = ops.add(ops.mul(x, _number(ops, 1 / 128)), _number(ops, -127 / 128))
        x = efficientnet.features(ops, p, x, side)
        # The classifier is linear, so the mean of the views' features gives that of their logits.
        x = ops.mean(ops.reshape(x, (-1, 2, WIDTH)), (1,))
        values = {FEATURES: x}
        if EMBEDDING in requested:
            values[EMBEDDING] = _image_embedding(ops, p, config, x)
        return values

    inputs = (Input("images", "uint8", (None, 2, side, side, 3)),)
    outputs = (Output(EMBEDDING, (None, config["dimension"])), Output(FEATURES, (None, WIDTH)))
    return Network("image", inputs, outputs, body, Stored(weights, "image."))


def _image_embedding(ops: Operations[T], p: Mapping[str, Array], config: dict[str, Any], x: T) -> T:
    """Features (n, 1280) → class probabilities and looks as one vector of length 1."""
    logits = ops.linear(x, p["classifier.weight"], p["classifier.bias"])
    meaning = ops.l2_normalise(
        ops.keep_top(_root_softmax(ops, logits, 1 / config["temperature"]), config["top_classes"])
    )
    looks = ops.l2_normalise(ops.linear(x, p["looks"]))
    share = config["meaning_share"]
    parts = [
        ops.mul(meaning, _number(ops, share)),
        ops.mul(looks, _number(ops, (1 - share**2) ** 0.5)),
    ]
    return ops.l2_normalise(ops.concat(parts, 1))


def _root_softmax(ops: Operations[T], x: T, scale: float) -> T:
    """√softmax(scale·x): softmax of the half, to length 1."""
    return ops.l2_normalise(ops.softmax(ops.mul(x, _number(ops, scale / 2))))


def text_network(weights: Weights, config: dict[str, Any]) -> Network[Any]:
    """int64 ids and mask (n, t) → (n, dimension): what classes the text is near to, and zeros."""
    classes = Stored(weights, "image.")["classes"]
    looks = config["dimension"] - len(classes)

    def body(ops: Operations[T], p: Mapping[str, Array], ids: T, mask: T) -> T:
        near = ops.linear(_sentence(ops, p, config, ids, mask), classes)
        meaning = _root_softmax(ops, near, config["sharpness"])
        return ops.concat([meaning, ops.mul(ops.slice(meaning, 1, 0, looks), _number(ops, 0.0))], 1)

    parameters = Stored(weights, "text.")
    shape = (None, config["dimension"])
    return single_output("text", TEXT_INPUTS, body, shape, parameters=parameters)


def sentence_network(weights: Weights, config: dict[str, Any]) -> Network[Any]:
    """int64 ids and mask (n, t) → centred sentence vectors (n, width): the class vectors' space."""
    p = Stored(weights, "text.")

    def body(ops: Operations[T], p: Mapping[str, Array], ids: T, mask: T) -> T:
        return _sentence(ops, p, config, ids, mask)

    return single_output("sentence", TEXT_INPUTS, body, (None, p["centre"].size), parameters=p)


def _sentence(
    ops: Operations[T], p: Mapping[str, Array], config: dict[str, Any], ids: T, mask: T
) -> T:
    blocks = Blocks(config["text_layers"], config["text_heads"], "gelu", config["text_epsilon"])
    bert_config = bert.BertConfig(blocks)
    x = ops.l2_normalise(ops.masked_mean(bert.encoder(ops, p, bert_config, ids, mask), mask))
    return ops.l2_normalise(ops.add(x, ops.constant(-p["centre"])))


def _number(ops: Operations[T], value: float) -> T:
    return ops.constant(np.array(value, dtype=np.float32))
