"""What every reader of a family does: the facts that come from the checkpoint alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from unseen.models.checkpoint import Checkpoint, fingerprint
from unseen.models.inputs import TextInputs
from unseen.models.model import HYPOTHESIS, LARGE_BATCH, Model, Preprocessing, Score
from unseen.models.tokenizers.tokenizer import TokenizerSpec
from unseen.models.towers import TowerSpec
from unseen.models.weights.spec import WeightsSpec


def assemble(
    checkpoint: Checkpoint,
    family: str,
    weights: WeightsSpec,
    *,
    preprocess: Preprocessing,
    image_tower: TowerSpec,
    text_tower: TowerSpec,
    text_inputs: TextInputs,
    context_length: int,
    score: Score,
    tokenizer: TokenizerSpec | None = None,
    template: str = HYPOTHESIS,
    batch_size: int = LARGE_BATCH,
) -> Model:
    """A `Model` of a folder. `tokenizer`: None for the folder's own files, as they are.

    Raises ModelError when the tokenizer cannot be read.
    """
    tokenizer = tokenizer or TokenizerSpec(str(checkpoint.folder))
    tokenizer.open()  # a damaged file is reported when the model is loaded
    return Model(
        name=checkpoint.name,
        revision=checkpoint.revision,
        family=family,
        fingerprint=fingerprint(checkpoint),
        dimension=image_tower.config.dimension,
        preprocess=preprocess,
        tokenizer=tokenizer,
        context_length=context_length,
        text_inputs=text_inputs,
        score=score,
        image_tower=image_tower,
        text_tower=text_tower,
        weights=weights,
        template=template,
        batch_size=batch_size,
    )


def softmax_score(weights: Mapping[str, Any], prefix: str = "") -> Score:
    """CLIP's: the softmax of cosines times e^logit_scale (Radford et al. 2021, §2.3)."""
    return Score("softmax", scale=math.exp(weights[f"{prefix}logit_scale"].item()))


def sigmoid_score(weights: Mapping[str, Any]) -> Score:
    """SigLIP's: the sigmoid of cosines times e^logit_scale, plus logit_bias (Zhai et al. 2023)."""
    scale, bias = math.exp(weights["logit_scale"].item()), weights["logit_bias"].item()
    return Score("sigmoid", scale=scale, bias=bias)
