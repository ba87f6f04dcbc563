"""A classifier as one ONNX file that takes a raw picture and needs no Python beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.deployment.classifier_graph import (
    COSINES,
    EVIDENCE,
    PROBABILITIES,
    Answering,
    classifier_graph,
)
from unseen.encoder import Encoder
from unseen.errors import ModelError, SourceError
from unseen.models.compiled import image_recorder
from unseen.models.description import accuracy_of, licence_of
from unseen.models.model import Model
from unseen.prediction.predict import DEFAULT_THRESHOLD
from unseen.prediction.prediction import LEAST_EVIDENCE
from unseen.runtimes.onnx import OnnxNetwork
from unseen.system.cache import draft_folder, replacing

if TYPE_CHECKING:
    import onnx

FORMAT = "unseen-export-1"
SUFFIX = ".onnx"
DATA_SUFFIX = ".data"  # of the parameters beside a file that would be larger than 2 GB
LARGEST_INLINE = 1_900_000_000  # bytes; protobuf reads no message of 2 GB
PRECISIONS = ("fp32", "fp16", "int8")
BYTES = {"fp32": 4, "fp16": 2, "int8": 1}  # a parameter
GOLDEN_OUTPUTS = (PROBABILITIES, COSINES, EVIDENCE)
GOLDEN_SIDES = ((12, 16), (31, 9))  # (height, width) of the pictures of a file's self-test


@dataclass(frozen=True)
class ExportOptions:
    """How a classifier is written.

    Parameters
    ----------
    precision : str
        ``fp32``; ``fp16``: stored in half the size, computed in fp32; or ``int8``: as this
        machine's CPU computes it, for ONNX Runtime alone.
    fixed : (int, int), optional
        (height, width): the file takes a batch of pictures of this size, for runtimes without
        dynamic shapes. Without it, it takes one picture of any size.
    with_embedding : bool
        Whether the picture's embedding is an output, too.

    Raises
    ------
    ModelError
        For another precision, or a size below 1.

    Examples
    --------
    >>> ExportOptions(precision="int8").fixed is None
    True
    """

    precision: str = "fp32"
    fixed: tuple[int, int] | None = None
    with_embedding: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ModelError(
                f"unknown precision {self.precision!r}; choose one of: {', '.join(PRECISIONS)}."
            )
        if self.fixed is not None and min(self.fixed) < 1:
            raise ModelError(f"pictures of {self.fixed} pixels; each side must be at least 1.")


DEFAULT_EXPORT_OPTIONS = ExportOptions()


@dataclass(frozen=True)
class Export:
    """A file that was written, and what it says of itself.

    Parameters
    ----------
    path : Path
        The .onnx file.
    answers : tuple of str
        The k answers, in the order of the outputs.
    metadata : dict of str to str
        The file's own metadata.
    bytes : int
        Of the file, with the parameters beside it.
    fixed : (int, int) or None
        (height, width) of the pictures that it takes; None: one picture of any size.
    """

    path: Path
    answers: tuple[str, ...]
    metadata: dict[str, str]
    bytes: int
    fixed: tuple[int, int] | None = None

    @property
    def licence(self) -> str | None:
        """The licence of the model's weights, as the file says it; None where it is not known."""
        name = json.loads(self.metadata["licence"])["name"]
        return None if name is None else str(name)

    def __repr__(self) -> str:
        return f"Export({str(self.path)!r}, {len(self.answers)} answers, {self.bytes / 1e6:.1f} MB)"


def export(
    encoder: Encoder,
    answering: Answering,
    path: str | Path,
    options: ExportOptions = DEFAULT_EXPORT_OPTIONS,
) -> Export:
    """Write a classifier as one file.

    Parameters
    ----------
    encoder : Encoder
        Of the model.
    answering : Answering
        The labels, and how cosines become probabilities.
    path : str or Path
        A name that ends in .onnx. The file is replaced, whole or not at all. A net of more than
        1.9 GB has its parameters in a second file beside it, NAME.onnx.data.
    options : ExportOptions
        Precision, size of pictures, outputs.

    Returns
    -------
    Export

    Raises
    ------
    SourceError
        If the path does not end in .onnx.
    ModelError
        If the preprocessing of the model cannot be written as ONNX.
    """
    file = Path(path)
    if file.suffix != SUFFIX:
        raise SourceError(f"{file}: an export is an {SUFFIX} file; give it that ending.")
    model = encoder.model
    recorder = image_recorder(model, options.precision)
    facts = metadata(model, answering, options)
    with draft_folder(file.parent) as folder:
        draft = folder / file.name
        data = draft.with_name(draft.name + DATA_SUFFIX)

        def recorded(parameters: IO[bytes] | None) -> onnx.ModelProto:
            return classifier_graph(
                model,
                recorder(parameters),
                answering,
                fixed=options.fixed,
                with_embedding=options.with_embedding,
                metadata=facts,
            )

        if _size(model, options.precision) > LARGEST_INLINE:
            with data.open("wb") as parameters:
                proto = recorded(parameters)
        else:
            proto = recorded(None)
        draft.write_bytes(proto.SerializeToString(deterministic=True))
        facts["golden"] = json.dumps(golden(draft, options))
        proto.metadata_props.add(key="golden", value=facts["golden"])
        draft.write_bytes(proto.SerializeToString(deterministic=True))
        size = draft.stat().st_size
        if data.exists():
            size += data.stat().st_size
            _move(data, file.with_name(data.name))
        _move(draft, file)
    return Export(file, answering.answers, facts, size, options.fixed)


def _move(draft: Path, path: Path) -> None:
    with replacing(path) as temporary:
        shutil.move(draft, temporary)


def _size(model: Model, precision: str) -> int:
    parameters = model.image_network().parameters
    return BYTES[precision] * sum(int(np.prod(value.shape)) for value in parameters.values())


def metadata(model: Model, answering: Answering, options: ExportOptions) -> dict[str, str]:
    """What a file says of itself: each value is a text, lists and objects as JSON."""
    labels, licence = answering.labels, licence_of(model.name, model.card)
    texts = json.dumps([[la.name for la in labels.labels], labels.prompts], ensure_ascii=False)
    facts: dict[str, Any] = {
        "format": FORMAT,
        "labels": list(answering.answers),
        "mode": "several" if answering.multi_label else "one",
        "rule": "sigmoid" if answering.multi_label else labels.score.rule,
        "thresholds": thresholds(answering),
        "least_evidence": None if answering.reference_set is None else LEAST_EVIDENCE,
        "score": labels.score.facts(),
        "calibration": None if answering.calibration is None else answering.calibration.to_data(),
        "prompts_sha256": hashlib.sha256(texts.encode()).hexdigest(),
        # Of a folder or a file only its name: where it lies is nobody's business.
        "model": Path(model.name).name if Path(model.name).exists() else model.name,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "family": model.family,
        "licence": asdict(licence),
        "accuracy": accuracy_of(model.name, model.card),
        "precision": options.precision,
        "input": "upright RGB, uint8; resized as Pillow 13 resizes",
        "preprocess": repr(model.preprocess),
    }
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for key, value in facts.items()
    }


def thresholds(answering: Answering) -> dict[str, float] | None:
    """With several labels a picture: from which probability on each is a yes; else None."""
    if not answering.multi_label:
        return None
    own = {la.name: la.threshold for la in answering.labels.labels if not la.background}
    if answering.calibration is not None:
        own = dict.fromkeys(own) | (answering.calibration.thresholds or {})
    return {name: DEFAULT_THRESHOLD if t is None else t for name, t in own.items()}


def golden_picture(number: int, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A tiny picture of waves for the self-test of a file: uint8 (height, width, 3)."""
    height, width = size or GOLDEN_SIDES[number]
    rows, columns = np.mgrid[:height, :width]
    phases = [(number + 1) * rows * 7 + columns * 11 * (channel + 1) for channel in range(3)]
    return np.stack([phase % 256 for phase in phases], -1).astype(np.uint8)


def golden(path: Path, options: ExportOptions) -> list[dict[str, Any]]:
    """What the file itself says of two tiny pictures, here: another runtime must say the same."""
    network = OnnxNetwork(path)
    rows = []
    for number, sides in enumerate(GOLDEN_SIDES):
        picture = golden_picture(number, options.fixed or sides)
        outputs = network.run(picture[None] if options.fixed else picture)
        rows.append(
            {
                # A fixed size may be large: those pictures are made from their number again.
                "image": None if options.fixed else base64.b64encode(picture.tobytes()).decode(),
                "size": list(picture.shape[:2]),
                **{
                    name: np.ravel(outputs[name]).round(6).tolist()
                    for name in GOLDEN_OUTPUTS
                    if name in outputs
                },
            }
        )
    return rows
