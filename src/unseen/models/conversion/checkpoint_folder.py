"""A new folder of a checkpoint, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unseen.errors import ModelError
from unseen.models.checkpoint import FACTS, WEIGHTS
from unseen.system.cache import draft_folder

TOKENIZER_FILES = [name for name in FACTS if name not in WEIGHTS and "processor" not in name]


def check_is_free(target: Path) -> None:
    """ModelError for a path where something is that is no empty folder."""
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise ModelError(f"{target} already exists; give another folder with --output.")


@contextmanager
def new_checkpoint(target: Path, tokenizer: Path) -> Iterator[Path]:
    """A draft beside `target`, to be filled, which takes its name where nothing is raised.

    What a killed process left there is deleted. The tokenizer files of the folder `tokenizer` are
    copied into it first.

    Raises
    ------
    ModelError
        If something is in the way, or the folder cannot be written.
    """
    check_is_free(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with draft_folder(target.parent) as folder:
            draft = folder / "checkpoint"
            draft.mkdir()
            for name in TOKENIZER_FILES:
                if (tokenizer / name).is_file():
                    shutil.copyfile(tokenizer / name, draft / name)
            yield draft
            if target.exists():
                target.rmdir()
            draft.replace(target)
    except OSError as error:
        raise ModelError(f"{target}: it cannot be written: {error.strerror}.") from None
