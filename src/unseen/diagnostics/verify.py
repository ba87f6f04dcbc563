"""Does this machine compute what the checkpoint's authors do? Every runtime and precision is held
against the definition, and, where figures were published, the whole against those."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from unseen.encoder import Encoder
from unseen.errors import ImageError, SourceError
from unseen.load_options import LoadOptions
from unseen.models import catalog, reference_outputs
from unseen.models.compiled import BOUNDS, CompiledNetwork
from unseen.models.model import Model
from unseen.prediction import score
from unseen.runtimes import devices
from unseen.system.packaged import packaged

# Of published logits and probabilities: decoders and resampling filters differ between releases.
LOGIT_TOLERANCE, PROBABILITY_TOLERANCE = 0.15, 0.02


@dataclass(frozen=True)
class NetworkCheck:
    """How close a network is to the reference runtime: the least cosine of pictures or prompts."""

    tower: str
    runtime: str
    device: str
    precision: str
    cosine: float
    bound: float

    @property
    def ok(self) -> bool:
        return self.cosine >= self.bound

    def __str__(self) -> str:
        where = f"{self.runtime}, {self.device.removesuffix('ExecutionProvider')}"
        verdict = "ok" if self.ok else f"below {self.bound}"
        return (
            f"{self.tower:<6} {where:<14} {self.precision:<5} cosine {self.cosine:.6f}  {verdict}"
        )


@dataclass(frozen=True)
class Golden:
    """What was published of a checkpoint: the logits, or the probabilities, of a picture."""

    id: str
    picture: str
    prompts: tuple[str, ...]
    source: str
    logits: tuple[float, ...] | None = None
    probabilities: tuple[float, ...] | None = None

    @property
    def published(self) -> tuple[float, ...]:
        return self.logits or self.probabilities or ()

    @property
    def tolerance(self) -> float:
        return LOGIT_TOLERANCE if self.logits else PROBABILITY_TOLERANCE


@dataclass(frozen=True)
class PublishedCheck:
    """The published figures of a checkpoint and ours.

    `ours` and `ok` are None where the picture could not be fetched; `text` says why.
    """

    published: tuple[float, ...]
    ours: tuple[float, ...] | None
    ok: bool | None
    text: str

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


@cache
def golden(model: str) -> Golden | None:
    """What was published of a hub id or short name, without its revision."""
    id = catalog.resolve(model).partition("@")[0]
    text = packaged("data/golden.json").read_text("utf-8")
    rows: list[dict[str, Any]] = json.loads(text)
    for row in rows:
        if row["id"] == id:
            facts: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value
                for key, value in row.items()
            }
            return Golden(**facts)
    return None


def verify(
    model: Model, targets: Sequence[devices.ExecutionTarget], *, threads: int | None = None
) -> Iterator[NetworkCheck]:
    """Every network in every precision that these targets offer, computed anew."""
    options = LoadOptions(model.name, threads=threads)
    for target in targets:
        for tower in ("image", "text"):
            network = CompiledNetwork(
                reference_outputs.tower(model, tower),
                find_target=partial(_same, target),
                options=options,
            )
            for precision in _precisions(target):
                cosine = network.cosine(precision, again=True)
                yield NetworkCheck(
                    tower, target.runtime, target.device, precision, cosine, BOUNDS[precision]
                )


def _same(target: devices.ExecutionTarget) -> devices.ExecutionTarget:
    """A way to find the target that a process can pickle."""
    return target


def compare(encoder: Encoder, golden: Golden) -> tuple[float, ...]:
    """Our figures for what was published, in its order. Raises ImageError without a network."""
    pictures = encoder.encode_images([golden.picture], use_cache=False)
    cosines = score.cosines(pictures, encoder.encode_texts(golden.prompts))
    family = encoder.model.score
    rows = score.logits(cosines, family) if golden.logits else score.single_label(cosines, family)
    return tuple(np.asarray(rows[0], dtype=float).tolist())


def check_published(encoder: Encoder, known: Golden) -> PublishedCheck:
    """Our figures beside those that were published of a checkpoint."""
    published = ", ".join(f"{value:.4g}" for value in known.published)
    try:
        ours = compare(encoder, known)
    except (ImageError, SourceError) as error:
        text = f"published {published}: not compared, the picture is not reached ({error})"
        return PublishedCheck(known.published, None, None, text)
    pairs = zip(ours, known.published, strict=True)
    ok = all(abs(mine - theirs) <= known.tolerance for mine, theirs in pairs)
    shown = ", ".join(f"{value:.4g}" for value in ours)
    text = f"published {published}, ours {shown}: {'ok' if ok else 'not the same'} ({known.source})"
    return PublishedCheck(known.published, ours, ok, text)


def execution_targets() -> list[devices.ExecutionTarget]:
    """The CPU by ONNX Runtime, what auto takes if it is another, and torch if it is installed."""
    targets = [devices.execution_target("cpu"), devices.execution_target("auto")]
    if find_spec("torch") is not None:
        targets.append(devices.ExecutionTarget("torch", "cpu"))
    return list(dict.fromkeys(targets))


def _precisions(target: devices.ExecutionTarget) -> tuple[str, ...]:
    if target.is_cpu:
        return ("fp32", "fp16", "int8")
    return ("fp32",) if target.device == "cpu" or target.runtime == "onnx" else ("fp32", "fp16")
