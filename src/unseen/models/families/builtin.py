"""The built-in model: an ImageNet classifier and a sentence encoder, joined without training.

A picture is what the classifier makes of it, probabilities over ImageNet's 1,000 classes. A label
becomes the same: the softmax over those classes of how near their names and glosses are to it.
The two are compared by Bhattacharyya's coefficient, Σ √pᵢ·√qᵢ, which is the cosine of their square
roots (the probability product kernel of Jebara, Kondor & Howard 2004, JMLR 5). Beside it the
embedding keeps the picture's own features, so that pictures compare with pictures; a text has
zeros there. tools/build_builtin.py makes the weights, docs/builtin.md tells the rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from unseen.errors import ModelError
from unseen.images.preprocess import TwoViews
from unseen.models import config_values as values
from unseen.models.checkpoint import Checkpoint
from unseen.models.families.assemble import assemble
from unseen.models.families.hf_config import check_layers
from unseen.models.inputs import Masked
from unseen.models.model import SMALL_BATCH, Model, Score
from unseen.models.towers import TowerSpec
from unseen.models.weights.names import Dequantised, Rule
from unseen.networks import builtin, efficientnet
from unseen.networks.transformer import Blocks

POSITIVE = values.number(1e-6, 1e6)
KINDS = {
    "dimension": values.WIDTH,
    "image_size": values.whole(32, 4096),
    "temperature": POSITIVE,
    "top_classes": values.whole(1, 1000),
    "sharpness": POSITIVE,
    "meaning_share": values.number(0, 1),
    "logit_scale": POSITIVE,
    "template": values.TEXT,
    "context_length": values.TOKENS,
    "text_layers": values.LAYERS,
    "text_heads": values.WIDTH,
    "text_epsilon": values.number(0, 1),
}

SCALE = ".scale"  # int8 rows are stored with a scale each, under the weight's name with this


CLASSIFIER = ("classifier.weight", "classifier.bias", "looks", "classes")


def stored(weights: Iterable[str], prefix: str) -> dict[str, str | Rule]:
    """The weights under `prefix`, as float32: fp16 widened, int8 rows scaled."""
    every = [name for name in weights if name.startswith(prefix)]
    scales = {name.removesuffix(SCALE): name for name in every if name.endswith(SCALE)}
    return {
        name.removeprefix(prefix): Dequantised(name, scales.get(name))
        for name in every
        if not name.endswith(SCALE)
    }


def text_blocks(config: dict[str, Any]) -> Blocks:
    """The transformer blocks of the sentence encoder."""
    return Blocks(config["text_layers"], config["text_heads"], "gelu", config["text_epsilon"])


def read(checkpoint: Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the files that ship with the package."""
    config = values.checked(config, KINDS, "config.json")
    weights = checkpoint.weights()
    image, dimension = stored(weights.arrays, "image."), config["dimension"]
    if missing := {*efficientnet.lite2_shapes(), *CLASSIFIER} - set(image):
        raise ModelError(
            f"{checkpoint.name}: there is no weight {'image.' + min(missing)!r} in it."
        )
    check_layers(weights.arrays, "text.layers.{}", config["text_layers"])
    return assemble(
        checkpoint,
        "builtin",
        weights,
        preprocess=TwoViews(config["image_size"]),
        image_tower=TowerSpec(
            "builtin_image",
            builtin.ImageConfig(
                config["image_size"],
                config["temperature"],
                config["top_classes"],
                config["meaning_share"],
                dimension,
            ),
            image,
        ),
        text_tower=TowerSpec(
            "builtin_text",
            builtin.TextConfig(text_blocks(config), config["sharpness"], dimension),
            stored(weights.arrays, "text.") | {"classes": image["classes"]},
        ),
        text_inputs=Masked(),
        context_length=config["context_length"],
        score=Score("softmax", config["logit_scale"]),
        template=config["template"],
        batch_size=SMALL_BATCH,
    )
