"""Tokenizer files that would take gigabytes or minutes: refused before a text comes, each in a
process of its own whose memory and time are limited."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BUILTIN = ROOT / "src" / "unseen" / "data" / "builtin" / "tokenizer.json"
CHILD = """
import resource, sys
from pathlib import Path
from unseen.errors import UnseenError
from unseen.models.tokenizers.tokenizer import Tokenizer
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
try:
    tokenizer = Tokenizer.from_folder(Path(sys.argv[1]))
    print(len(tokenizer.encode([sys.argv[2]])[0][0]))
except UnseenError as error:
    print(type(error).__name__, error)
"""
A = {"Sequence": {"id": "A", "type_id": 0}}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def answer(folder: Path, tokenizer: dict[str, Any], text: str = "a" * 200 + "!") -> str:
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    done = subprocess.run(
        [sys.executable, "-c", CHILD, folder, text], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-1000:]
    return done.stdout


def replaced(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(steps)}


BOMBS: dict[str, tuple[str, Any, str]] = {
    "one letter becomes ten, nine times": (
        *("normalizer", sequence(*[replaced({"String": "a"}, "a" * 10)] * 9)),
        "times as long",
    ),
    "sequences in sequences": (
        *("normalizer", sequence(sequence(*[replaced({"Regex": ""}, "a" * 60)] * 9))),
        "times as long",
    ),
    "a prefix of ten million": (
        *("normalizer", {"type": "Prepend", "prepend": "a" * 10**7}),
        "bytes; allowed",
    ),
    "a prefix of a thousand": (
        *("normalizer", {"type": "Prepend", "prepend": "a" * 1000}),
        "1000 characters; allowed",
    ),
    "bytes of bytes": (
        *("pre_tokenizer", {"type": "Sequence", "pretokenizers": [BYTES] * 40}),
        "times as long",
    ),
    "a text five thousand times": (
        *("post_processor", {"type": "TemplateProcessing", "single": [A] * 5000, "pair": [A]}),
        "5000 times as long",
    ),
    "a million tokens around each text": (
        "post_processor",
        {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, A],
            "pair": [A],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [101] * 10**6, "tokens": ["[CLS]"] * 10**6}
            },
        },
        "bytes; allowed",
    ),
    "a hundred thousand tokens": (
        "post_processor",
        {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, A],
            "pair": [A],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [101] * 10**5, "tokens": ["[CLS]"] * 10**5}
            },
        },
        "100000 special tokens",
    ),
    "a pattern that goes back for ever, where texts are replaced": (
        *("normalizer", replaced({"Regex": "(a+)+$"}, "x")),
        "tokenizer fails on one of 1 texts",
    ),
    "the same, where they are split": (
        "pre_tokenizer",
        {
            "type": "Split",
            "pattern": {"Regex": "(a|aa)+$"},
            "behavior": "Isolated",
            "invert": False,
        },
        "tokenizer fails on one of 1 texts",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of a child are Linux's")
@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_is_a_model_error(tmp_path: Path, case: str) -> None:
    part, value, message = BOMBS[case]
    tokenizer = json.loads(BUILTIN.read_text("utf-8")) | {part: value}
    if "special_tokens" not in value and part == "post_processor":
        value["special_tokens"] = {}
    said = answer(tmp_path, tokenizer)
    assert said.startswith("ModelError")
    assert message in said


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of a child are Linux's")
@pytest.mark.parametrize(
    ("key", "value"),
    [("max_input_chars_per_word", 10**9), ("continuing_subword_prefix", "#" * 10**6)],
)
def test_a_model_that_makes_much_of_a_word(tmp_path: Path, key: str, value: Any) -> None:
    tokenizer = json.loads(BUILTIN.read_text("utf-8"))
    tokenizer["model"][key] = value
    said = answer(tmp_path, tokenizer)
    assert said.startswith("ModelError")
    assert key in said


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of a child are Linux's")
def test_a_file_that_is_larger_than_any(tmp_path: Path) -> None:
    with (tmp_path / "tokenizer.json").open("wb") as file:
        file.truncate((1 << 26) + 1)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, tmp_path, "a"], capture_output=True, text=True, timeout=300
    )
    assert done.stdout.startswith("ModelError"), done.stderr[-1000:]


def test_the_table_of_sentence_pieces_is_within_the_limits(tmp_path: Path) -> None:
    """nmt_nfkc, the table that published models have, and the longest text in it."""
    import hf_checkpoints
    from unseen.models.tokenizers import tokenizer_limits
    from unseen.models.tokenizers.tokenizer_files import _sentence_pieces, _unigram

    hf_checkpoints.sentence_pieces(tmp_path / "spiece.model")
    pieces, charsmap, unknown = _sentence_pieces(tmp_path / "spiece.model")
    assert len(charsmap) > 100_000
    backend = _unigram(pieces, charsmap, unknown)
    tokenizer_limits.check(backend, "here")
    # "ﷺ" becomes the longest of them, of 18 letters.
    assert len(backend.normalizer.normalize_str("ﷺ")) == 18
