"""Descriptions of labels: sentences are prompts as they are, phrases stand behind their label.

Published files map each label to a list of texts. Those of CuPL and of Meta-Prompting are whole
sentences, those of DCLIP phrases ("a crust").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unseen.labels import spelling

FEWEST = 3  # phrases of a label, on average, in a file of phrases
SENTENCES = 0.1  # of the texts of a file of phrases, at most
ENDS = (".", "!", "?")
# First words of a phrase, and what joins it to its label; any other is a thing: "a crust".
CLAUSES = frozenset(
    """appears are can carries comes consists contains could does feeds features flies grows had has
    hangs have includes is lies lives looks makes may might moves must produces resembles sits
    stands swims tends varies was wears were will""".split()  # noqa: SIM905
)
ADVERBS = frozenset(
    "always commonly generally often rarely sometimes typically usually".split()  # noqa: SIM905
)
PARTICIPLES = frozenset(
    """arranged attached built coated coloured colored composed covered decorated designed divided
    eaten filled found held known located lined made mounted painted placed printed rolled seen
    served shaped sold surrounded topped tied used woven worn wrapped""".split()  # noqa: SIM905
)
JOINED = frozenset(
    "at by for from in of on over that under which who whose with without".split()  # noqa: SIM905
)


def prompt(name: str, text: str) -> str:
    """A description of a label as a prompt.

    >>> prompt("apple pie", "a crust"), prompt("apple pie", "can be sliced")
    ('apple pie, which has a crust.', 'apple pie, which can be sliced.')
    >>> prompt("apple pie", "An apple pie has a golden crust.")
    'An apple pie has a golden crust.'
    """
    if is_sentence(name, text):
        return text
    phrase = " ".join(text.split()).strip(" ,;:")
    first, second = [word.casefold().rstrip(",") for word in [*phrase.split()[:2], ""]][:2]
    if first in JOINED:
        return f"{name}, {phrase}."
    if first in CLAUSES or (first in ADVERBS and second in CLAUSES):
        return f"{name}, which {phrase}."
    if first in PARTICIPLES | ADVERBS:
        return f"{name}, which is {phrase}."
    return f"{name}, which has {phrase}."


def is_sentence(name: str, text: str) -> bool:
    """Whether a text stands by itself: it ends as a sentence, or holds the label, or a place for
    it."""
    if "{}" in text or text.rstrip().endswith(ENDS):
        return True
    words = spelling.normal(name)
    if not words:
        return False
    return _stands_in(words, spelling.normal(text))


def _stands_in(words: str, text: str) -> bool:
    """Whether words stand in a text and are not a part of others there, as a pattern between two
    ``\\b`` has it; to compile one for each label takes a millisecond where names are long."""
    start = text.find(words)
    while start >= 0:
        end = start + len(words)
        before, after = text[max(0, start - 1) : start], text[end : end + 1]
        if _in_word(before) != _in_word(words[0]) and _in_word(words[-1]) != _in_word(after):
            return True
        start = text.find(words, start + 1)
    return False


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def of_phrases(data: Any) -> dict[str, list[str]] | None:
    """A file of phrases → label and prompts; None for any other content.

    It is one where each label has a list of texts, three or more on average, and at most one text
    in ten stands by itself. Of a few labels nobody can tell, so there are two at least.
    """
    if not isinstance(data, Mapping) or len(data) < 2:
        return None
    for name, texts in data.items():
        if not isinstance(name, str) or not isinstance(texts, list) or not texts:
            return None
        if not all(isinstance(text, str) and text.strip() for text in texts):
            return None
    texts = [(name, text) for name, own in data.items() for text in own]
    sentences = sum(is_sentence(name, text) for name, text in texts)
    if len(texts) < FEWEST * len(data) or sentences > SENTENCES * len(texts):
        return None
    return {name: [prompt(name, text) for text in own] for name, own in data.items()}
