"""Bare weights and the name of their architecture → a folder that every command loads.

What a state dict does not say, open_clip's own list of architectures does: data/architectures.json
has the configs of those that are read here.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError
from unseen.models import families, hub
from unseen.models.checkpoint import OPEN_CLIP_CONFIG, Checkpoint
from unseen.models.conversion.checkpoint_folder import (
    TOKENIZER_FILES,
    check_is_free,
    new_checkpoint,
)
from unseen.models.tokenizers.tokenizer_files import READERS
from unseen.models.weights.files import OPEN_CLIP_FILES, open_files
from unseen.models.weights.names import Names, Renamed
from unseen.models.weights.pe_names import PE_MARK, pe_names
from unseen.models.weights.safetensors_file import write_arrays
from unseen.networks.parameters import used_parameters
from unseen.system.packaged import packaged

Array = NDArray[Any]

CLIP_TOKENIZER = "openai/clip-vit-base-patch32"  # of every architecture that names none
# Numbers that OpenAI's own archives hold besides the weights.
NOT_WEIGHTS = {"input_resolution", "context_length", "vocab_size"}
LONG_CLIP = "positional_embedding_res"  # LongCLIP's second table of positions
LONG_CLIP_FIRST = 20  # positions that it has from CLIP, as they were
# Mean and standard deviation of the colours, by the name of who has them.
NORMALISATIONS: dict[str, dict[str, list[float]]] = {
    "openai": {
        "mean": [0.48145466, 0.4578275, 0.40821073],
        "std": [0.26862954, 0.26130258, 0.27577711],
    },
    "imagenet": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    "half": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
    "none": {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]},
}


@cache
def architectures() -> dict[str, dict[str, Any]]:
    """The config of each architecture that weights can be imported of, by open_clip's name."""
    text = packaged("data/architectures.json").read_text("utf-8")
    rows: dict[str, dict[str, Any]] = json.loads(text)
    return rows


def import_weights(
    weights: str | Path,
    architecture: str,
    folder: str | Path | None = None,
    *,
    tokenizer: str | None = None,
    normalisation: str | None = None,
    image_size: int | None = None,
) -> Path:
    """Write a folder that every command loads, of weights without a config.

    Parameters
    ----------
    weights : str or Path
        A .pt, .pth, .bin or .safetensors file with a state dict under OpenCLIP's names, OpenAI's or
        Perception Encoder's own. Nothing in it is executed.
    architecture : str
        open_clip's name, or LongCLIP-B or LongCLIP-L: a key of `architectures`.
    folder : str or Path, optional
        What to write; by default the path of the weights without its suffix. It must not be there,
        or be empty.
    tokenizer : str, optional
        A folder or hub id that has the tokenizer. By default it is looked for beside the weights,
        and then fetched: the one that the architecture names, or CLIP's.
    normalisation : str, optional
        A row of `NORMALISATIONS`, for weights that were trained with other colours than their
        architecture usually is.
    image_size : int, optional
        The side of the pictures in pixels, where it is not the architecture's.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        For a name that is not known, weights that are not of that architecture or cannot be read,
        no tokenizer, or a folder in the way.
    """
    path = Path(weights).expanduser()
    target = Path(folder).expanduser() if folder is not None else path.with_suffix("")
    config = _config(architecture, normalisation, image_size)
    check_is_free(target)
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file of weights.")
    arrays = open_files([path], str(path))
    source = _tokenizer_folder(tokenizer, path.parent, config["model_cfg"]["text_cfg"])
    with new_checkpoint(target, source) as draft:
        (draft / OPEN_CLIP_CONFIG).write_text(json.dumps(config, indent=1), "utf-8")
        write_arrays(draft / OPEN_CLIP_FILES[0], Renamed(arrays, _names(arrays)))
        _check(draft, architecture, path)
    return target


def _config(architecture: str, normalisation: str | None, image_size: int | None) -> dict[str, Any]:
    if architecture not in architectures():
        similar = difflib.get_close_matches(architecture, architectures(), 3, 0.5)
        hint = f" Did you mean {' or '.join(similar)}?" if similar else ""
        raise ModelError(
            f"unknown architecture {architecture!r}.{hint} `unseen models import --list` names all."
        )
    row: dict[str, Any] = json.loads(json.dumps(architectures()[architecture]))
    preprocess = row.get("preprocess_cfg", {})
    if normalisation is not None:
        if normalisation not in NORMALISATIONS:
            raise ModelError(
                f"unknown normalisation {normalisation!r}; choose one of: "
                f"{', '.join(NORMALISATIONS)}."
            )
        preprocess |= NORMALISATIONS[normalisation]
    if image_size is not None:
        row["model_cfg"]["vision_cfg"]["image_size"] = image_size
    return {"model_cfg": row["model_cfg"], "preprocess_cfg": preprocess}


def _names(arrays: Mapping[str, Array]) -> Names:
    """OpenCLIP's names → the stored ones, or rules that compute."""
    if PE_MARK in arrays:
        return pe_names(arrays)
    names: dict[str, Any] = {name: name for name in arrays if name not in NOT_WEIGHTS}
    if LONG_CLIP in names:
        del names[LONG_CLIP]
        names["positional_embedding"] = JoinedPositions("positional_embedding", LONG_CLIP)
    return names


@dataclass(frozen=True)
class JoinedPositions:
    """LongCLIP's positions: the first `LONG_CLIP_FIRST` of one table, the others of the second.

    It multiplies each by a mask and adds them whenever it is used (Zhang et al. 2024,
    arXiv:2403.15378, §3.1).
    """

    first: str
    rest: str

    def __call__(self, weights: Mapping[str, Array]) -> Array:
        """The whole table, from two in `weights`."""
        first, rest = weights[self.first], weights[self.rest]
        return np.concatenate([first[:LONG_CLIP_FIRST], rest[LONG_CLIP_FIRST:]])


def _tokenizer_folder(given: str | None, beside: Path, text_config: Mapping[str, Any]) -> Path:
    if given is not None and Path(given).expanduser().is_dir():
        folder = Path(given).expanduser()
        if not _has_tokenizer(folder):
            raise ModelError(f"{given}: no tokenizer in it.")
        return folder
    if given is None and _has_tokenizer(beside):
        return beside
    name = given or text_config.get("hf_tokenizer_name") or CLIP_TOKENIZER
    try:
        folder = hub.files(name, TOKENIZER_FILES)
    except ModelError as error:
        raise ModelError(
            f"{error} These weights need a tokenizer: put its files beside them, or name a folder "
            "that has them with --tokenizer."
        ) from None
    if not _has_tokenizer(folder):
        raise ModelError(f"{name}: no tokenizer in it; name another with --tokenizer.")
    return folder


def _has_tokenizer(folder: Path) -> bool:
    return any(all((folder / name).is_file() for name in names) for names in READERS)


def _check(folder: Path, architecture: str, path: Path) -> None:
    """ModelError where the weights are not those of the architecture; nothing is computed."""
    try:
        model = families.read(Checkpoint(str(folder), folder, config_file=OPEN_CLIP_CONFIG))
        for network in (model.image_network(), model.text_network()):
            used_parameters(network)
    except ModelError as error:
        reason = str(error).replace(str(folder), path.name)
        raise ModelError(f"{path}: its weights are not those of {architecture}: {reason}") from None
