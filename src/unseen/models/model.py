"""A checkpoint understood: all that turns pictures and prompts into vectors, but the running."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.models.tokenizer import Tokenizer
from unseen.networks.operations import Array, Network

# Pictures at once, when nobody says. Convolutions are fastest, and need least memory, in small
# batches (what passes between layers stays in the CPU's cache), transformers in large ones: on two
# cores 16 are 15 % faster than 4, and 32 no faster. See `benchmarks/batches.py`.
SMALL_BATCH, LARGE_BATCH = 2, 16
HYPOTHESIS = "This is a photo of {}."  # the default of the Hugging Face pipeline


class Preprocessing(Protocol):
    """Upright RGB picture → what the image net takes for one picture, uint8."""

    @property
    def target(self) -> int | None:
        """The short side that is wanted, in pixels: a decoder may stop at a multiple of it.

        None where that would show: every picture is then decoded in full.
        """

    def __call__(self, image: Image.Image) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Score:
    """How a family turns cosines into probabilities: `rule` is a row of `score.RULES`.

    The logit of a pair is `scale` · cosine + `bias`.
    """

    rule: str
    scale: float
    bias: float = 0.0


@dataclass(frozen=True)
class Model:
    """What a family reads out of a checkpoint. The two networks read weights only when called."""

    name: str
    revision: str | None
    family: str
    fingerprint: str
    dimension: int
    preprocess: Preprocessing
    tokenizer: Tokenizer
    context_length: int
    text_inputs: Callable[[Sequence[Sequence[int]]], tuple[Array, ...]]
    score: Score
    image_network: Callable[[], Network[Any]]
    text_network: Callable[[], Network[Any]]
    template: str = HYPOTHESIS
    batch_size: int = LARGE_BATCH  # pictures; what suits the image net on a CPU
