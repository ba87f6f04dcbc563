"""A compiled label set as the file that Intel's DL Streamer reads: `zeroshot-embeddings-file`.

Its format, by Intel's zero-shot sample: one array ``embeddings`` (k, d) of float32, whose rows are
in the order of the labels, and ``logit_scale`` as a text in the metadata. DL Streamer divides each
row by its length, multiplies the cosines by that scale, and takes their softmax.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from unseen.errors import LabelError
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.calibration import Calibration
from unseen.system.cache import write_atomically
from unseen.system.safetensors_file import SUFFIX

LABELS_SUFFIX = ".labels.txt"
LENGTH_TOLERANCE = 1e-3  # of rows, from 1


def export_dlstreamer(
    labels: CompiledLabels, path: str | Path, calibration: Calibration | None = None
) -> Path:
    """Write the vectors of a label set for DL Streamer.

    Parameters
    ----------
    labels : CompiledLabels
        The labels; background labels among them are labels like the others there.
    path : str or Path
        A name that ends in .safetensors.
    calibration : Calibration, optional
        Its temperature becomes part of the scale.

    Returns
    -------
    Path
        The labels, one a line, beside the file: what DL Streamer takes as ``labels-file``.

    Raises
    ------
    LabelError
        If the path ends in something else, or DL Streamer would compute something else.
    """
    file = Path(path)
    if file.suffix != SUFFIX:
        raise LabelError(f"{file}: DL Streamer reads a {SUFFIX} file; give it that ending.")
    reason = _misfit(labels, calibration)
    if reason is not None:
        raise LabelError(f"DL Streamer cannot compute this: {reason}.")
    temperature = 1.0 if calibration is None else calibration.temperature
    names = [label.name for label in labels.labels]
    facts = {
        "logit_scale": repr(labels.score.scale / temperature),
        "model": labels.model,
        "labels": json.dumps(names, ensure_ascii=False),
        "prompt": json.dumps(labels.prompts, ensure_ascii=False),
    }
    matrix = np.ascontiguousarray(labels.matrix, dtype=np.float32)
    listed = labels_file(file)
    write_atomically(listed, "".join(f"{name}\n" for name in names).encode())
    write_atomically(file, save({"embeddings": matrix}, facts))
    return listed


def labels_file(path: Path) -> Path:
    """Where the list of labels lies: beside the vectors.

    >>> labels_file(Path("pets.safetensors")).name
    'pets.labels.txt'
    """
    return path.with_name(path.stem + LABELS_SUFFIX)


def _misfit(labels: CompiledLabels, calibration: Calibration | None) -> str | None:
    """Why its softmax of scaled cosines is not the score of these labels; None where it is."""
    if labels.score.rule != "softmax":
        return f"{labels.model} decides for each label by itself, and it compares labels"
    if labels.adapted is not None and labels.adapted.cache is not None:
        return "the adapter compares pictures with examples, and it compares them with labels"
    lengths = np.linalg.norm(labels.matrix, axis=1)
    if np.abs(lengths - 1).max(initial=0) > LENGTH_TOLERANCE:
        return "the adapter gave vectors lengths that mean something, and it makes all of them 1"
    if calibration is not None and calibration.prior is not None:
        return "the calibration adds a number to each label, and it only scales"
    if any("\n" in label.name or "\r" in label.name for label in labels.labels):
        return "a label has several lines, and its list has one a line"
    return None
