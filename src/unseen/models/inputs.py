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
class PaddedPatches:
    """Patches of pictures of any shape, padded to the most that one of them has, and a mask."""

    def __call__(self, pictures: Sequence[PictureArrays]) -> tuple[Array, ...]:
        """n times what `Patches` gives → three arrays of n, and int64 (n, t), 0 on the padding."""
        counts = [len(picture[1]) for picture in pictures]
        most = max(counts)
        mask = (np.arange(most) < np.array(counts)[:, None]).astype(np.int64)
        several = zip(*pictures, strict=True)
        return (*(_padded(arrays, most, counts) for arrays in several), mask)


def _padded(arrays: Sequence[Array], most: int, counts: Sequence[int]) -> Array:
    """Arrays whose first axis has so many items, padded to `most` items of zeros, stacked."""
    first, count = arrays[0], counts[0]
    whole = np.zeros((len(arrays), len(first) // count * most, *first.shape[1:]), first.dtype)
    for row, array in zip(whole, arrays, strict=True):
        row[: len(array)] = array
    return whole


@dataclass(frozen=True)
class EndToken:
    """Ids, padded with zeros to the longest text, and the index of the token that is read.

    That is the first `end`, or the first token where there is none; without an `end` it is the
    largest id, as in OpenAI's own code. A net that is not causal sees its padding: its texts are
    all padded to `length`, with `pad`.
    """

    end: int | None = None
    length: int | None = None
    pad: int = 0

    def __call__(self, ids: TokenIds) -> tuple[Array, Array]:
        """Token ids of n texts → int64 (n, longest or length) and int64 (n,)."""
        longest = self.length or max(map(len, ids))
        batch = np.full((len(ids), longest), self.pad, dtype=np.int64)
        ends = np.zeros(len(ids), dtype=np.int64)
        for row, tokens in enumerate(ids):
            batch[row, : len(tokens)] = tokens
            ends[row] = len(self.read(tokens)) - 1
        return batch, ends

    def read(self, tokens: Sequence[int]) -> Sequence[int]:
        """The ids of a text up to the token that is read: all that a causal net needs."""
        end = max(tokens) if self.end is None else self.end
        return tokens[: tokens.index(end) + 1 if end in tokens else 1]


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
class ClassTokenBehind:
    """Ids, padded to `length` with `pad`, and a mask that is 0 on `hidden` ids, for a net that puts
    a class token behind them.

    `shifted`: the mask stands one place too far to the right, as CoCa was trained: the class token
    sees one token of padding, and not itself.
    """

    length: int
    pad: int
    hidden: int
    shifted: bool

    def __call__(self, ids: TokenIds) -> tuple[Array, Array]:
        """Token ids of n texts → int64 (n, length) and int64 (n, length + 1)."""
        batch = np.full((len(ids), self.length), self.pad, dtype=np.int64)
        for row, tokens in enumerate(ids):
            batch[row, : len(tokens)] = tokens
        side = (1, 0) if self.shifted else (0, 1)
        mask = np.pad((batch != self.hidden).astype(np.int64), ((0, 0), side), constant_values=1)
        return batch, mask


@dataclass(frozen=True)
class Masked:
    """Ids, padded with zeros to the longest text, and a mask that is 0 on the padding."""

    def __call__(self, ids: TokenIds) -> tuple[Array, Array]:
        """Token ids of n texts → ids and mask, int64 (n, longest)."""
        longest = max(1, *map(len, ids))  # some tokenizers make no token of an empty text
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


IMAGE_INPUTS: dict[str, type[Any]] = {"stacked": Stacked, "padded_patches": PaddedPatches}
TEXT_INPUTS: dict[str, type[Any]] = {
    "end_token": EndToken,
    "fixed_length": FixedLength,
    "class_token_behind": ClassTokenBehind,
    "masked": Masked,
    "single_ids": SingleIds,
}
