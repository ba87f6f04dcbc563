"""Token ids: ours against CLIPTokenizer of transformers, over 500 strings and both file kinds."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend
from transformers import CLIPTokenizer

import checkpoints
from unseen.errors import LabelError, ModelError
from unseen.models.hub import BUILTIN_FOLDER
from unseen.models.tokenizers.tokenizer import Tokenizer

PIECES = [
    "cat", "DOG", "a photo of", "it's", "they're 1,000", "naïve", "STRASSE", "straße", "İstanbul",
    "猫", "犬の写真", "صورة قطة", "תמונה", "фото", "👍", "👩‍👩‍👧", "🇩🇪", "e\u0301", "ﬁ", "½", "\t",
    "\n\n", "   ", "\u00a0", "\u200b", "\x00", "\x7f", "...", "!!?", "#1", "a_b", "C++", "<b>",
    "<|endoftext|>", "<|startoftext|>", "<|EndOfText|>", "<|end", "{}",
    "\\n", "'ll", "'S", "’s", "0123456789", "Ⅷ", "x" * 90,
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
    judge = theirs(texts, truncation=True, max_length=77).input_ids
    different = [t for t, a, b in zip(texts, ids, judge, strict=True) if a != b]
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


@pytest.mark.parametrize("length", [2, 3, 10, 77])
def test_any_length_is_cut_as_transformers_cuts(length: int, folder: Path) -> None:
    theirs = CLIPTokenizer.from_pretrained(folder)
    ids, _ = Tokenizer.from_folder(folder).encode(strings(), length)
    assert ids == theirs(strings(), truncation=True, max_length=length).input_ids


def test_another_family_is_cut_as_its_own_file_says() -> None:
    """BERT: other special tokens, and padding and truncation switched on in the file."""
    backend = Backend.from_file(str(BUILTIN_FOLDER / "tokenizer.json"))
    backend.no_padding()
    backend.enable_truncation(12)
    ids, cut = Tokenizer.from_folder(BUILTIN_FOLDER).encode(strings(), 12)
    assert ids == [encoding.ids for encoding in backend.encode_batch(strings())]
    assert any(cut) and not all(cut)


def test_without_a_length_nothing_is_cut_or_padded(folder: Path) -> None:
    ids, cut = Tokenizer.from_folder(folder).encode(["", "cat", "word " * 300])
    assert len(ids[0]) == 2 and len(ids[2]) > 300 and cut == [False] * 3


def test_threads_with_different_lengths_do_not_meet(folder: Path) -> None:
    ours, wrong = Tokenizer.from_folder(folder), []

    def work(length: int) -> None:
        for _ in range(50):
            ids, _ = ours.encode(["word " * 100] * 20, length)
            wrong.extend(len(tokens) for tokens in ids if len(tokens) != length)

    threads = [threading.Thread(target=work, args=(n,)) for n in (10, 20, 30, 77)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_half_a_character_is_an_error_of_the_label(folder: Path) -> None:
    with pytest.raises(LabelError, match=r"'bad \\udcff name'"):
        Tokenizer.from_folder(folder).encode(["good", "bad \udcff name"], 77)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer.json"])
def test_damaged_files_are_errors_or_a_tokenizer(name: str, folder: Path, tmp_path: Path) -> None:
    CLIPTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    if name != "tokenizer.json":
        (tmp_path / "tokenizer.json").unlink()
        for part in ("vocab.json", "merges.txt"):
            (tmp_path / part).write_bytes((folder / part).read_bytes())
    whole, rng = (tmp_path / name).read_bytes(), random.Random(5)
    for case in range(40):
        broken = bytearray(whole)
        if case % 4 == 0:
            del broken[rng.randrange(len(whole)) :]
        else:
            for _ in range(4):
                broken[rng.randrange(len(whole))] = rng.choice(b'{}[]",:0 a\xff\x00')
        (tmp_path / name).write_bytes(bytes(broken))
        try:
            Tokenizer.from_folder(tmp_path).encode(["a cat", "猫"], 77)
        except ModelError as error:
            assert "cannot be read" in str(error)
