"""How long a picture takes a small classifier, and its teacher, in turns on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from unseen.encoder import Encoder
from unseen.errors import UnseenError
from unseen.images.open import open_image
from unseen.models.inputs import PictureArrays, Stacked
from unseen.models.model import Preprocessing
from unseen.runtimes.onnx import OnnxNetwork

ROUNDS = 15
PICTURES = 8

# What reads a picture, and the net that is given what was read.
Subject = tuple[Callable[[Any], PictureArrays], Callable[[PictureArrays], Any]]


def compare(
    file: Path,
    preprocess: Preprocessing,
    teacher: Encoder | None,
    sources: Sequence[Any],
    *,
    threads: int | None = None,
) -> dict[str, Any] | None:
    """Milliseconds of the image net, and from a file to its answer, of both and as a ratio.

    `file`: the small classifier. None without a teacher, or a picture that can be read. Medians of
    one picture at a time.
    """
    if teacher is None:
        return None
    network = OnnxNetwork(file, threads=threads)

    def pixels(source: Any) -> PictureArrays:
        return preprocess(open_image(source, at_least=preprocess.target))

    def of_teacher(source: Any) -> PictureArrays:
        pixels = teacher.pixels(source)
        if isinstance(pixels, UnseenError):
            raise pixels
        return pixels

    subjects: dict[str, Subject] = {
        "student_ms": (pixels, lambda p: network(*Stacked()([p]))),
        "teacher_ms": (of_teacher, lambda p: teacher.encode_pixels([p])),
    }
    readable = [source for source in sources[:PICTURES] if _reads(pixels, source)]
    if not readable:
        return None
    milliseconds: dict[str, dict[str, list[float]]] = {
        n: {"net": [], "picture": []} for n in subjects
    }
    for turn in range(-2, ROUNDS):  # two to warm up
        source = readable[turn % len(readable)]
        for name, (read, net) in subjects.items():
            begin = time.perf_counter()
            prepared = read(source)
            between = time.perf_counter()
            net(prepared)
            end = time.perf_counter()
            if turn >= 0:
                milliseconds[name]["net"].append(1000 * (end - between))
                milliseconds[name]["picture"].append(1000 * (end - begin))
    medians: dict[str, Any] = {
        name: {what: round(median(times), 2) for what, times in by_part.items()}
        for name, by_part in milliseconds.items()
    }
    medians["ratio"] = {
        what: round(medians["teacher_ms"][what] / medians["student_ms"][what], 3)
        for what in ("net", "picture")
    }
    return medians | {
        "rounds": ROUNDS,
        "threads": threads or "all",
        "precision": teacher.precision,
        "device": str(teacher.target.device),
    }


def _reads(pixels: Callable[[Any], PictureArrays], source: Any) -> bool:
    try:
        pixels(source)
    except UnseenError:
        return False
    return True
