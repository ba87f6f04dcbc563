"""How a model is tuned, and what is taken where nobody says."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from unseen.errors import LabelError

# Learning rates by the width of the image net: docs/tune.md has where they are from.
RATE_OF_WIDTH = 1e-5 * 768
LARGEST_RATE, LOW_RANK_RATE = 1e-4, 2e-4
EPOCHS = 8  # of the labelled pictures, where neither steps nor epochs are given
STEPS = (120, 4000)  # at least, and at most
SMALL_NET = 20_000_000  # values; on a CPU, a larger one trains its last blocks alone
LAST_BLOCKS = 3


@dataclass(frozen=True)
class TuneOptions:
    """How a model is tuned.

    Parameters
    ----------
    leash : str or Path, optional
        A folder of ordinary pictures, without labels, whose embeddings shall stay where they are.
        None: pictures that are drawn here, which say less about what is forgotten.
    leash_weight : float
        How tight the leash is: λ of the loss.
    rank : int, optional
        Of LoRA: matrices of so low a rank are added to the queries, keys and values. None: the
        parameters themselves are trained.
    steps : int, optional
        Batches that are learnt from. None: as many as `epochs` are, or what suits the pictures.
    epochs : float, optional
        How often each picture is learnt from.
    learning_rate : float, optional
        At its highest. None: what suits the width of the image net.
    batch : int
        Labelled pictures in a step.
    leash_batch : int
        Ordinary pictures in a step.
    blocks : int, optional
        Only the last so many blocks of the image net are trained, and what follows them. None: all,
        but on a CPU, where a large net trains its last three.
    augment : bool
        Learn from a part of each picture, drawn anew each time, instead of the whole.
    weight_decay : float
        Of matrices.
    keep : float
        The least part of the answers about ordinary pictures that must stay the same.
    refit : bool
        Once the figures are known, train again with the pictures and labels that were held out.
    beat_adapter : bool
        Take the net only where it is better than an adapter of the same pictures.
    seed : int
        Of everything that is drawn.

    Raises
    ------
    LabelError
        A number is out of range.
    """

    leash: str | Path | None = None
    leash_weight: float = 10.0
    rank: int | None = None
    steps: int | None = None
    epochs: float | None = None
    learning_rate: float | None = None
    batch: int = 40
    leash_batch: int = 24
    blocks: int | None = None
    augment: bool = False
    weight_decay: float = 0.1
    keep: float = 0.95
    refit: bool = True
    beat_adapter: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in LIMITS:
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise LabelError(f"{name} is {value}; allowed is a number from {low} to {high}.")
        if self.steps is not None and self.epochs is not None:
            raise LabelError("give steps or epochs, not both: one follows from the other.")

    def settled(self, pictures: int, width: int, values: int, *, on_cpu: bool) -> TuneOptions:
        """The same with a number in place of every None.

        Parameters
        ----------
        pictures : int
            That are learnt from.
        width, values : int
            Of the image net: numbers of a token, and of all parameters that can be trained.
        on_cpu : bool
            Whether it is trained on a CPU.

        Returns
        -------
        TuneOptions
            `blocks` is 0 where all are trained.
        """
        steps = self.steps
        if steps is None:
            epochs = EPOCHS if self.epochs is None else self.epochs
            steps = math.ceil(epochs * pictures / self.batch)
            if self.epochs is None:
                steps = min(max(steps, STEPS[0]), STEPS[1])
        rate = self.learning_rate
        if rate is None:
            rate = min(LARGEST_RATE, RATE_OF_WIDTH / width)
            rate = rate if self.rank is None else LOW_RANK_RATE
        blocks = self.blocks
        if blocks is None:
            blocks = LAST_BLOCKS if on_cpu and values > SMALL_NET else 0
        return replace(self, steps=steps, epochs=None, learning_rate=rate, blocks=blocks)


LIMITS: tuple[tuple[str, float, float], ...] = (
    ("leash_weight", 0, 1e4),
    ("rank", 1, 256),
    ("steps", 1, 1_000_000),
    ("epochs", 0.01, 10_000),
    ("learning_rate", 1e-8, 1.0),
    ("batch", 2, 65_536),
    ("leash_batch", 1, 65_536),
    ("blocks", 0, 1_000),
    ("weight_decay", 0, 10),
    ("keep", 0, 1),
    ("seed", 0, 2**63),
)
DEFAULT_TUNE_OPTIONS = TuneOptions()
