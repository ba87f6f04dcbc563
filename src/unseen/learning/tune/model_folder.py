"""The folder of a tuned model: the original's files, its weights changed, and what changed them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.errors import ModelError
from unseen.models import families, hub
from unseen.models.checkpoint import FACTS, HF_CONFIG, OPEN_CLIP_CONFIG, TUNE_CARD, WEIGHTS
from unseen.models.conversion.checkpoint_folder import new_checkpoint
from unseen.models.model import Model
from unseen.models.weights.changes import Changed, Changes
from unseen.models.weights.files import OPEN_CLIP_FILES, open_files
from unseen.models.weights.safetensors_file import write_arrays
from unseen.networks.parameters import used_parameters
from unseen.system.regular_file import read_text

DELTA = "delta.safetensors"
PAGE, LOG = "README.md", "training.jsonl"
LEGAL = ("LICENSE*", "LICENCE*", "NOTICE*")
# Files beside the weights that a model is read with; the other library's config is not one of them.
OTHERS = [name for name in FACTS if name not in WEIGHTS]


def config_file(model: Model) -> str:
    """The config that the model was read by."""
    return OPEN_CLIP_CONFIG if model.weights.files[0] in OPEN_CLIP_FILES else HF_CONFIG


def write(
    model: Model,
    target: Path,
    changes: Changes,
    card: Mapping[str, Any],
    page: str,
    log: str = "",
) -> Path:
    """Write the folder, whole or not at all.

    Parameters
    ----------
    model : Model
        The original, which lies in a folder.
    target : Path
        What to write. It must not be there, or be empty.
    changes : dict of str to float32 array
        What is added to stored weights, α included.
    card : mapping
        What is known of it: plain data.
    page : str
        The same for people.
    log : str
        Of the training, a JSON object a line.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    ModelError
        Something is in the way, the folder cannot be written, or what was written cannot be read.
    """
    source, config = Path(model.weights.folder), config_file(model)
    weights = model.weights.arrays
    with new_checkpoint(target, source) as draft:
        for name in (config, *OTHERS):
            if (source / name).is_file() and not (draft / name).exists():
                shutil.copyfile(source / name, draft / name)
        for pattern in LEGAL:
            for file in sorted(source.glob(pattern)):
                if file.is_file():
                    shutil.copyfile(file, draft / file.name)
        write_arrays(
            draft / WEIGHTS[config][0],
            Changed(weights, changes),
            bfloat16=weights.bfloat16,
        )
        facts = {"unseen_tune": json.dumps(dict(card), ensure_ascii=False)}
        write_arrays(draft / DELTA, changes, metadata=facts)
        text = json.dumps(dict(card), ensure_ascii=False, indent=1)
        (draft / TUNE_CARD).write_text(text + "\n", "utf-8")
        (draft / PAGE).write_text(page, "utf-8")
        if log:
            (draft / LOG).write_text(log, "utf-8")
        _check(draft)
    return target


def _check(folder: Path) -> None:
    """ModelError where what was written is not a model; nothing is computed."""
    read = families.read(hub.locate(str(folder)))
    for network in (read.image_network(), read.text_network()):
        used_parameters(network)


def read_card(folder: str | Path) -> dict[str, Any]:
    """The card of a folder that was tuned. ModelError for any other."""
    path = Path(folder).expanduser() / TUNE_CARD
    try:
        card = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError):
        raise ModelError(
            f"{folder}: `unseen tune` did not make this: {TUNE_CARD} is missing."
        ) from None
    if not isinstance(card, dict) or "base" not in card:
        raise ModelError(f"{path}: this is not the card of a tuned model.")
    return card


def read_changes(folder: str | Path) -> Changes:
    """What was added to the stored weights of the original. ModelError where it cannot be read."""
    file = Path(folder).expanduser() / DELTA
    if not file.is_file():
        raise ModelError(f"{folder}: {DELTA} is missing; `unseen tune` writes it.")
    arrays = open_files([file], str(file))
    return {name: arrays[name] for name in arrays}
