"""Which words of a prompt carry a label: each is left out in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

from unseen.encoder import Encoder
from unseen.explanation.explanation import Word
from unseen.types import Floats

MOST_EXACT = 6  # words: 64 texts; of longer prompts each word is left out once


def words(encoder: Encoder, prompt: str, embedding: Floats, contrast: Floats) -> tuple[Word, ...]:
    """What each word adds to the cosine of a picture to a prompt, over a contrast.

    Up to six words this is their Shapley value (1953), exactly: the mean of what a word adds, over
    all orders in which the prompt may be put together. Of longer prompts it is what goes with it.

    Parameters
    ----------
    encoder : Encoder
        Encodes the shorter prompts; they are cached.
    prompt : str
        The prompt of the label.
    embedding : float32 array (d,)
        Of the picture.
    contrast : float32 array (d,)
        The vector that every text is compared with.

    Returns
    -------
    tuple of Word
        In the order of the prompt.
    """
    parts = prompt.split()
    if len(parts) < 2:
        return ()
    if len(parts) > MOST_EXACT:
        everything = [True] * len(parts)
        subsets = [tuple(everything)]
        for i in range(len(parts)):
            subsets.append(tuple(j != i for j in range(len(parts))))
        value = _values(encoder, parts, subsets, embedding, contrast)
        whole = value[subsets[0]]
        return tuple(Word(w, whole - value[s]) for w, s in zip(parts, subsets[1:], strict=True))
    subsets = [
        tuple(i in chosen for i in range(len(parts)))
        for size in range(len(parts) + 1)
        for chosen in combinations(range(len(parts)), size)
    ]
    return tuple(
        Word(word, score)
        for word, score in zip(
            parts,
            shapley(_values(encoder, parts, subsets, embedding, contrast), len(parts)),
            strict=True,
        )
    )


def shapley(value: dict[tuple[bool, ...], float], count: int) -> list[float]:
    """The Shapley values of `count` players, of the value of each coalition.

    Examples
    --------
    >>> shapley({(False, False): 0, (True, False): 1, (False, True): 0, (True, True): 3}, 2)
    [2.0, 1.0]
    """
    result = []
    for player in range(count):
        total = 0.0
        for subset, with_player in value.items():
            if subset[player]:
                size = sum(subset) - 1
                weight = (
                    math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
                )
                without = tuple(m and i != player for i, m in enumerate(subset))
                total += weight * (with_player - value[without])
        result.append(total)
    return result


def _values(
    encoder: Encoder,
    parts: Sequence[str],
    subsets: Sequence[tuple[bool, ...]],
    embedding: Floats,
    contrast: Floats,
) -> dict[tuple[bool, ...], float]:
    texts = [
        " ".join(word for word, there in zip(parts, subset, strict=True) if there)
        for subset in subsets
    ]
    rows = encoder.encode_texts(texts)
    return dict(zip(subsets, ((rows - contrast) @ embedding).astype(float).tolist(), strict=True))
