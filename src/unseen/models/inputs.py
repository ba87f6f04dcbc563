"""What the nets take: arrays stacked of several pictures, or padded of several texts.

Each rule is a small frozen object, a row of a table, so that a model can be written to JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from unseen.networks.operations import Array

TokenIds = Sequence[Sequence[int]]
# What preprocessing makes of one picture: one array, or as many as the image net takes.
PictureArrays = NDArray[Any] | tuple[NDArray[Any], ...]


class ImageInputs(Protocol):
    """What preprocessing made of n pictures → the arrays that the image net takes."""

    def __call__(self, pictures: Sequence[PictureArrays]) -> tuple[Array, ...]: ...


class TextInputs(Protocol):
    """Token ids of n texts → the arrays that the text net takes."""

    def __call__(self, ids: TokenIds) -> tuple[Array, ...]: ...


@dataclass(frozen=True)
class Stacked:
    """Arrays of one shape, stacked along a new first axis: each input of the net by itself."""

    def __call__(self, pictures: Sequence[PictureArrays]) -> tuple[Array, ...]:
        """n arrays, or n tuples of k arrays → a tuple of 1 or k arrays, each (n, …)."""
        several = [p if isinstance(p, tuple) else (p,) for p in pictures]
        return tuple(np.stack(arrays) for arrays in zip(*several, strict=True))


@dataclass(frozen=True)
class EndToken:
    """Ids, padded with zeros to the longest text, and the index of the token that is read.

    That is the first `end`, or the first token where there is none; without an `end` it is the
    largest id, as in OpenAI's own code.
    """

    end: int | None = None

    def __call__(self, ids: TokenIds) -> tuple[Array, Array]:
        """Token ids of n texts → int64 (n, longest) and int64 (n,)."""
        batch = np.zeros((len(ids), max(map(len, ids))), dtype=np.int64)
        ends = np.zeros(len(ids), dtype=np.int64)
        for row, tokens in enumerate(ids):
            batch[row, : len(tokens)] = tokens
            end = max(tokens) if self.end is None else self.end
            ends[row] = tokens.index(end) if end in tokens else 0
        return batch, ends


@dataclass(frozen=True)
class FixedLength:
    """Ids, padded with `pad` to `context_length`, and the last index.

    A SigLIP sees its padding and is read at the last token, so every text is padded to full
    length: shorter padding gave wrong rankings in several systems (open_clip issue 716). `blank`:
    an id that becomes 0, where the tokenizer adds a separator that the model was not trained with.
    """

    context_length: int
    pad: int
    blank: int | None = None

    def __call__(self, ids: TokenIds) -> tuple[Array, Array]:
        """Token ids of n texts → int64 (n, context_length) and int64 (n,)."""
        batch = np.full((len(ids), self.context_length), self.pad, dtype=np.int64)
        for row, tokens in enumerate(ids):
            batch[row, : len(tokens)] = [0 if token == self.blank else token for token in tokens]
        return batch, np.full(len(ids), self.context_length - 1, dtype=np.int64)


@dataclass(frozen=True)
class Masked:
    """Ids, padded with zeros to the longest text, and a mask that is 0 on the padding."""

    def __call__(self, ids: TokenIds) -> tuple[Array, Array]:
        """Token ids of n texts → ids and mask, int64 (n, longest)."""
        longest = max(map(len, ids))
        batch = np.zeros((len(ids), longest), dtype=np.int64)
        mask = np.zeros((len(ids), longest), dtype=np.int64)
        for row, tokens in enumerate(ids):
            batch[row, : len(tokens)] = tokens
            mask[row, : len(tokens)] = 1
        return batch, mask


@dataclass(frozen=True)
class SingleIds:
    """One id a text: the vocabulary is a list of labels."""

    def __call__(self, ids: TokenIds) -> tuple[Array, ...]:
        """n times one id → int64 (n, 1)."""
        return (np.array(ids, dtype=np.int64).reshape(len(ids), 1),)


IMAGE_INPUTS: dict[str, type[Any]] = {"stacked": Stacked}
TEXT_INPUTS: dict[str, type[Any]] = {
    "end_token": EndToken,
    "fixed_length": FixedLength,
    "masked": Masked,
    "single_ids": SingleIds,
}
