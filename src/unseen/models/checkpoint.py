"""A checkpoint's files on this machine, and the facts that are read from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.errors import ModelError
from unseen.models import config_values
from unseen.models.weights.files import FILES, OPEN_CLIP_FILES, weight_files
from unseen.models.weights.spec import WeightsSpec
from unseen.system import cache

TUNE_CARD = "tune.json"  # what `unseen tune` says of the folder that it has written
TEXT_ORIGINS, TAUGHT = "text_origins", "example_digests"  # keys of it
LARGEST_CARD = 256 * 1024**2  # bytes: a line for each picture
HF_CONFIG, OPEN_CLIP_CONFIG = "config.json", "open_clip_config.json"
# Which weights belong to which config: a repository may hold those of several libraries.
WEIGHTS = {HF_CONFIG: FILES, OPEN_CLIP_CONFIG: OPEN_CLIP_FILES}

# Everything but the weights that can change a result. The order is part of every fingerprint.
FACTS = (
    *WEIGHTS,
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


@dataclass(frozen=True)
class Checkpoint:
    """The files of one model, all in `folder`; or one `file`, which `unseen distil` made.

    `config_file`: which config counts where there are two.
    """

    name: str
    folder: Path
    revision: str | None = None
    file: Path | None = None
    config_file: str = HF_CONFIG

    @property
    def commit(self) -> str | None:
        """The commit that the files are of, when they come from the hub."""
        return self.folder.name if self.folder.parent.name == "snapshots" else None

    def weight_files(self) -> list[Path]:
        """The files of the weights that belong to the config. Raises ModelError."""
        return weight_files(self.folder, WEIGHTS[self.config_file])

    def weights(self) -> WeightsSpec:
        """The same as data. Raises ModelError."""
        return WeightsSpec(str(self.folder), tuple(path.name for path in self.weight_files()))


def read_json(checkpoint: Checkpoint, name: str) -> dict[str, Any]:
    """One of the checkpoint's JSON files; ModelError when it is missing or damaged."""
    path = checkpoint.folder / name
    try:
        content = config_values.read_json(path)
    except FileNotFoundError:
        raise ModelError(f"{checkpoint.name}: {name} is missing in {checkpoint.folder}.") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path}: a JSON object was expected.")
    return content


def read_image_processor(checkpoint: Checkpoint) -> dict[str, Any]:
    """The picture half of the processor: a file of its own, or a part of processor_config.json."""
    if not (checkpoint.folder / "preprocessor_config.json").is_file():
        whole = checkpoint.folder / "processor_config.json"
        if whole.is_file():
            part = read_json(checkpoint, whole.name).get("image_processor")
            if isinstance(part, dict):
                return part
    return read_json(checkpoint, "preprocessor_config.json")


def tokenizer_setting(checkpoint: Checkpoint, key: str) -> str | None:
    """One of the tokenizer's settings, such as its class or its padding token, if it is stated."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (checkpoint.folder / name).is_file():
            value = read_json(checkpoint, name).get(key)
            value = value.get("content") if isinstance(value, dict) else value
            if isinstance(value, str):
                return value
    return None


def fingerprint(checkpoint: Checkpoint) -> str:
    """32 hex digits of the content of every file that can change a result. Raises ModelError."""
    paths = [checkpoint.folder / name for name in FACTS]
    paths = [path for path in paths if path.is_file()] + checkpoint.weight_files()
    try:
        lines = [f"{path.name} {cache.file_sha256(path)}" for path in paths]
    except OSError as error:
        raise ModelError(f"{error.filename}: it cannot be read: {error.strerror}.") from None
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def tuned_facts(checkpoint: Checkpoint, own: str) -> dict[str, Any]:
    """What the card of a folder of `unseen tune` says that a program needs; nothing of another.

    `TEXT_ORIGINS`: the fingerprints of models whose text net it has. `TAUGHT`: the pictures that it
    learnt from. Both hold for the files that were written: `own` is the fingerprint of what is
    there now, and of other files nothing is known.
    """
    try:
        card = config_values.read_json(checkpoint.folder / TUNE_CARD, LARGEST_CARD)
    except (OSError, ModelError):
        return {}
    if not isinstance(card, dict) or card.get("fingerprint") != own:
        return {}
    lists = {key: card.get(key) for key in (TEXT_ORIGINS, TAUGHT)}
    return {
        key: [one for one in items if isinstance(one, str)]
        for key, items in lists.items()
        if isinstance(items, list)
    }
