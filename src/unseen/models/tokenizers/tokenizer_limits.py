"""What a stranger's tokenizer may do to a text: bounded before the first text comes.

A few hundred bytes of a tokenizer.json can make a gigabyte of one letter: replacements one after
the other, a prefix of megabytes, a template of millions of tokens.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from unseen.errors import ModelError
from unseen.models.config_values import shown

LARGEST_FILE = 1 << 26  # bytes of one file; the largest that were published have 35 million
LARGEST_PART = 1 << 22  # bytes of a normalizer, as JSON; SentencePiece's table of characters is 0.3
MOST_STEPS = 64
MOST_CHARACTERS = 64  # of a replacement, a prefix, a name of a token
MOST_SPECIAL = 64  # tokens that a template adds
MOST_GROWTH = 4096  # times the length of a text; SentencePiece's table and spaces make 70
LONGEST_WORD = 1000  # characters; WordPiece takes time by their square
TEXTS = ("content", "prepend", "prefix", "replacement")
MODEL_TEXTS = ("continuing_subword_prefix", "end_of_word_suffix", "unk_token")
PARTS = ("normalizer", "pre_tokenizer", "post_processor")


def check_files(folder: Path, names: tuple[str, ...]) -> None:
    """ModelError for a file that is larger than any tokenizer's."""
    for name in names:
        size = (folder / name).stat().st_size
        if size > LARGEST_FILE:
            raise ModelError(
                f"{folder / name}: it has {size} bytes; at most {LARGEST_FILE} are read."
            )


def check(backend: Tokenizer, where: str) -> None:
    """ModelError where the parts of a tokenizer could make more of a text than any real one."""
    growth, special = 1, 0
    for steps, step in enumerate(_steps(backend, where), 1):
        for key in TEXTS:
            _short(step.get(key), where, key)
        growth *= _growth(step)
        special += _special(step)
        if steps > MOST_STEPS or growth > MOST_GROWTH or special > MOST_SPECIAL:
            raise ModelError(
                f"{where}: it may make a text {growth} times as long in {steps} steps, with "
                f"{special} special tokens; allowed are {MOST_GROWTH} times, {MOST_STEPS} steps "
                f"and {MOST_SPECIAL} tokens."
            )
    for key in MODEL_TEXTS:
        _short(getattr(backend.model, key, None), where, key)
    word = getattr(backend.model, "max_input_chars_per_word", 0)
    if word > LONGEST_WORD:
        raise ModelError(
            f"{where}: max_input_chars_per_word is {word}; allowed are at most {LONGEST_WORD}."
        )


def _short(text: object, where: str, key: str) -> None:
    if isinstance(text, str) and len(text) > MOST_CHARACTERS:
        raise ModelError(
            f"{where}: {key} is {shown(text)} of {len(text)} characters; allowed are at most "
            f"{MOST_CHARACTERS}."
        )


def _steps(backend: Tokenizer, where: str) -> Iterator[Mapping[str, Any]]:
    """Each step of each part, those of a sequence one by one: the library's own view of them."""
    for name in PARTS:
        part = getattr(backend, name)
        if part is None:
            continue
        text = part.__getstate__()
        if len(text) > LARGEST_PART:
            raise ModelError(
                f"{where}: its {name} has {len(text)} bytes; allowed are at most {LARGEST_PART}."
            )
        waiting = [json.loads(text)]
        while waiting:
            step = waiting.pop()
            inner = [value for key, value in step.items() if key.endswith(("izers", "processors"))]
            waiting += [step for steps in inner if isinstance(steps, list) for step in steps]
            yield step


def _growth(step: Mapping[str, Any]) -> int:
    """How many characters one may become."""
    kind = step.get("type")
    if kind == "Replace":
        # A regular expression may match nothing, before every character.
        return len(step["content"]) + ("Regex" in step["pattern"]) or 1
    if kind == "Precompiled":
        # The table: the length of an index (of four bytes), the index, then texts that end in a 0.
        # See normalizer.cc of google/sentencepiece.
        table = base64.b64decode(step["precompiled_charsmap"])
        texts = table[4 + int.from_bytes(table[:4], "little") :]
        return max(map(len, texts.split(b"\0"))) or 1
    if kind == "ByteLevel":
        return 2
    if kind == "TemplateProcessing":
        return sum("Sequence" in piece for piece in step["single"]) or 1
    return 1


def _special(step: Mapping[str, Any]) -> int:
    """The special tokens that a template puts around a text."""
    if step.get("type") != "TemplateProcessing":
        return 0
    names = [piece["SpecialToken"]["id"] for piece in step["single"] if "SpecialToken" in piece]
    return sum(len(step["special_tokens"][name]["ids"]) for name in names)
