"""The tokenizer of a checkpoint is read when it is loaded first, and then when a text comes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import unseen
from unseen.errors import ModelError
from unseen.models.tokenizers.tokenizer import Tokenizer


@pytest.fixture
def opened(fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders whose tokenizers were read, where nothing is known of any."""
    folders = []
    read = Tokenizer.from_folder.__func__  # type: ignore[attr-defined]

    def noted(cls: type[Tokenizer], folder: Path, *arguments: object) -> Tokenizer:
        folders.append(folder)
        tokenizer: Tokenizer = read(cls, folder, *arguments)
        return tokenizer

    monkeypatch.setattr(Tokenizer, "from_folder", classmethod(noted))
    return folders


def test_of_known_files_it_is_read_for_new_texts_alone(
    shapes_clip: Path, opened: list[Path]
) -> None:
    first = unseen.load(shapes_clip)
    rows = first.encoder.encode_texts(["a red circle"])
    assert opened == [shapes_clip]
    again = unseen.load(shapes_clip)
    assert (again.encoder.encode_texts(["a red circle"]) == rows).all()  # it is known
    assert opened == [shapes_clip]
    again.encoder.encode_texts(["a blue star"])
    assert opened == [shapes_clip] * 2


def test_files_that_were_changed_are_read_again(
    shapes_clip: Path, tmp_path: Path, opened: list[Path]
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(shapes_clip, folder)
    unseen.load(folder)
    (name,) = (p for p in ("tokenizer.json", "vocab.json") if (folder / p).is_file())
    (folder / name).write_text("{", "utf-8")
    for _ in range(2):  # what is refused is not remembered
        with pytest.raises(ModelError, match="tokenizer"):
            unseen.load(folder)
    assert len(opened) == 3
