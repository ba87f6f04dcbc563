"""What every reader of a family does: the facts that come from the checkpoint alone."""

from __future__ import annotations

import math

from unseen.errors import ModelError
from unseen.models.checkpoint import Checkpoint, fingerprint, tuned_facts
from unseen.models.inputs import EndToken, ImageInputs, Stacked, TextInputs
from unseen.models.model import HYPOTHESIS, LARGE_BATCH, Model, Preprocessing, Score
from unseen.models.tokenizers.tokenizer import TokenizerSpec
from unseen.models.towers import TowerSpec
from unseen.models.weights.files import Weights
from unseen.models.weights.spec import WeightsSpec
from unseen.system import cache

STACKED = Stacked()
CHECKS = 1  # of a tokenizer: raise it where these change, and they are made again


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
    image_inputs: ImageInputs = STACKED,
    tokenizer: TokenizerSpec | None = None,
    template: str = HYPOTHESIS,
    batch_size: int = LARGE_BATCH,
) -> Model:
    """A `Model` of a folder. `tokenizer`: None for the folder's own files, as they are.

    Raises ModelError when the tokenizer cannot be read, or never gives the token that is read.
    """
    tokenizer = tokenizer or TokenizerSpec(str(checkpoint.folder))
    own = fingerprint(checkpoint)
    _check_once(tokenizer, text_inputs, own)
    return Model(
        name=checkpoint.name,
        revision=checkpoint.revision,
        family=family,
        fingerprint=own,
        dimension=image_tower.config.dimension,
        preprocess=preprocess,
        tokenizer=tokenizer,
        context_length=context_length,
        text_inputs=text_inputs,
        score=score,
        image_tower=image_tower,
        text_tower=text_tower,
        weights=weights,
        image_inputs=image_inputs,
        template=template,
        batch_size=batch_size,
        card=tuned_facts(checkpoint, own),
    )


def _check_once(tokenizer: TokenizerSpec, text_inputs: TextInputs, own: str) -> None:
    """A damaged tokenizer is reported when the model is loaded; of files that were checked before
    nothing is read, which takes longer the more words it has: for known labels nobody needs it."""
    key = f"tokenizer-{CHECKS}-{own}"
    if cache.recall(key) == own:
        return
    tokenizer.open()
    if isinstance(text_inputs, EndToken) and text_inputs.end is not None:
        _check_end(tokenizer, text_inputs.end)
    cache.remember(key, own)


def _check_end(tokenizer: TokenizerSpec, end: int) -> None:
    """The end of a text is what the net reads: without one it would read the first token."""
    (ids,), _ = tokenizer.encode(["a"])
    if end not in ids:
        raise ModelError(
            f"the config says that a text ends in the token {end} (eos_token_id, or eos_id), and "
            f"the tokenizer gives {ids[:8]} for 'a'. The folder may hold files of two checkpoints."
        )


def softmax_score(weights: Weights, prefix: str = "") -> Score:
    """CLIP's: the softmax of cosines times e^logit_scale (Radford et al. 2021, §2.3)."""
    return Score("softmax", scale=math.exp(scalar(weights, f"{prefix}logit_scale", -20, 20)))


def sigmoid_score(weights: Weights) -> Score:
    """SigLIP's: the sigmoid of cosines times e^logit_scale, plus logit_bias (Zhai et al. 2023)."""
    scale = math.exp(scalar(weights, "logit_scale", -20, 20))
    return Score("sigmoid", scale=scale, bias=scalar(weights, "logit_bias", -1e4, 1e4))


def scalar(weights: Weights, name: str, low: float, high: float) -> float:
    """A weight that is one number. ModelError for any other, or one that is out of range."""
    array = weights[name] if math.prod(weights.shape(name)) == 1 else None
    number = math.nan if array is None else float(array.item())
    if not low <= number <= high:
        given = f"an array of {weights.shape(name)}" if array is None else f"{number:g}"
        raise ModelError(
            f"the weight {name} is {given}; allowed is one number from {low:g} to {high:g}."
        )
    return number
