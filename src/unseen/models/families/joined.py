"""A model whose two nets come from two checkpoints: a folder that `unseen models join` wrote.

Its config.json holds the `Model` as data, its weights are those of both halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unseen.errors import ModelError
from unseen.models.checkpoint import Checkpoint, fingerprint
from unseen.models.model import Model

MODEL_TYPE = "unseen-joined"


def read(checkpoint: Checkpoint, config: dict[str, Any]) -> Model:
    """A `Model` from the checkpoint's files; weights are read later, when a network is built."""
    plain = config.get("model")
    if not isinstance(plain, Mapping):
        raise ModelError(f"{checkpoint.name}: config.json has no model; join the two again.")
    files = tuple(path.name for path in checkpoint.weight_files())
    try:
        model = Model.from_dict(plain, folder=str(checkpoint.folder))
    except ModelError as error:
        raise ModelError(f"{checkpoint.name}: config.json: {error}") from None
    return replace(
        model,
        name=checkpoint.name,
        revision=checkpoint.revision,
        fingerprint=fingerprint(checkpoint),
        weights=replace(model.weights, files=files),
    )
