"""Token ids: ours against CLIPTokenizer of transformers, over 500 strings and both file kinds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from transformers import CLIPTokenizer

import checkpoints
from unseen.errors import ModelError
from unseen.models.tokenizer import Tokenizer

PIECES = [
    "cat", "DOG", "a photo of", "it's", "they're 1,000", "naïve", "STRASSE", "straße", "İstanbul",
    "猫", "犬の写真", "صورة قطة", "תמונה", "фото", "👍", "👩‍👩‍👧", "🇩🇪", "e\u0301", "ﬁ", "½", "\t",
    "\n\n", "   ", "\u00a0", "\u200b", "\x00", "\x7f", "...", "!!?", "#1", "a_b", "C++", "<b>",
    "<|endoftext|>", "<|startoftext|>", "{}", "\\n", "'ll", "'S", "’s", "0123456789", "Ⅷ", "x" * 90,
]  # fmt: skip


def strings() -> list[str]:
    rng = random.Random(11)
    mixed = [
        rng.choice(["", " "]).join(rng.choices(PIECES, k=rng.randint(1, 7))) for _ in range(480)
    ]
    return ["", " ", *PIECES, *mixed, "word " * 300, "猫" * 200]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    checkpoints.tokenizer(folder)
    return folder


@pytest.mark.parametrize("kind", ["vocab.json + merges.txt", "tokenizer.json"])
def test_ids_are_those_of_transformers(kind: str, folder: Path, tmp_path: Path) -> None:
    theirs = CLIPTokenizer.from_pretrained(folder)
    if kind == "tokenizer.json":
        theirs.save_pretrained(tmp_path)
        folder = tmp_path
        assert (folder / "tokenizer.json").is_file()
    texts = strings()
    assert len(texts) >= 500
    ids, cut = Tokenizer.from_folder(folder).encode(texts, 77)
    wanted = theirs(texts, truncation=True, max_length=77).input_ids
    different = [t for t, a, b in zip(texts, ids, wanted, strict=True) if a != b]
    assert different == []
    lengths = [len(i) for i in theirs(texts).input_ids]
    assert cut == [length > 77 for length in lengths]
    assert any(cut)


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no tokenizer"):
        Tokenizer.from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        Tokenizer.from_folder(tmp_path)
