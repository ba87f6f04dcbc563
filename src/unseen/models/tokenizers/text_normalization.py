"""What is done to a text before it becomes tokens, as the family was trained."""

from __future__ import annotations

import html
import string
from collections.abc import Callable

PUNCTUATION = str.maketrans("", "", string.punctuation)


def siglip(text: str) -> str:
    """Small letters, no punctuation, single spaces: SigLIP's, big_vision's "canonicalize"."""
    return " ".join(text.lower().translate(PUNCTUATION).split())


def lower(text: str) -> str:
    """Small letters, as SigLIP 2 was trained."""
    return text.lower()


def whitespace(text: str) -> str:
    """OpenAI's: mojibake repaired, HTML entities read (twice), single spaces."""
    import ftfy  # noqa: PLC0415 - only OpenCLIP's format wants it

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())


def whitespace_lower(text: str) -> str:
    """`whitespace`, then small letters."""
    return whitespace(text).lower()


def whitespace_siglip(text: str) -> str:
    """`whitespace`, then `siglip`: that of SigLIP's tokenizer class under OpenCLIP."""
    return siglip(whitespace(text))


def canonicalize(text: str) -> str:
    """`whitespace`, then `siglip` with _ as a space: OpenCLIP's own for SigLIP."""
    return siglip(whitespace(text).replace("_", " "))


# By the names that `TokenizerSpec.normalization` has.
NORMALIZATIONS: dict[str, Callable[[str], str]] = {
    "siglip": siglip,
    "lower": lower,
    "whitespace": whitespace,
    "whitespace_lower": whitespace_lower,
    "whitespace_siglip": whitespace_siglip,
    "canonicalize": canonicalize,
}
# OpenCLIP's names → ours.
OPEN_CLIP = {
    "lower": "whitespace_lower",
    "whitespace": "whitespace",
    "canonicalize": "canonicalize",
}
