"""Holds an exported file, run by plain ONNX Runtime, against the library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unseen.deployment.classifier_graph import EVIDENCE, PROBABILITIES, Answering
from unseen.deployment.onnx_classifier import Export
from unseen.encoder import Encoder
from unseen.errors import ModelError, UnseenError
from unseen.images.open import open_image
from unseen.models.reference_outputs import PICTURES
from unseen.networks.network import EMBEDDING
from unseen.prediction.open_set import evidence
from unseen.prediction.predict import label_probabilities
from unseen.prediction.prediction import LEAST_EVIDENCE
from unseen.runtimes.onnx import OnnxNetwork
from unseen.sources.expand import expand
from unseen.system.packaged import packaged
from unseen.types import Sources


@dataclass(frozen=True)
class ExportCheck:
    """What an exported file says beside the library.

    Parameters
    ----------
    pictures : int
        How many were compared.
    agreement : int
        Of these, where the first answer is the same, and so is whether the picture is unknown.
    largest_difference : float
        Of any probability.
    least_cosine : float or None
        Of the embeddings; None where the file does not give them.
    milliseconds, library_milliseconds : float
        A picture, median, from decoded pixels.
    failed : dict of str to str
        Pictures that could not be read, and why.
    largest_evidence_difference : float or None
        In standard deviations; None where evidence is not measured.
    """

    pictures: int
    agreement: int
    largest_difference: float
    least_cosine: float | None
    milliseconds: float
    library_milliseconds: float
    failed: dict[str, str]
    largest_evidence_difference: float | None = None

    @property
    def passed(self) -> bool:
        """Whether every first answer is the same."""
        return self.pictures > 0 and self.agreement == self.pictures

    def __str__(self) -> str:
        cosine = "" if self.least_cosine is None else f", least cosine {self.least_cosine:.6f}"
        off = self.largest_evidence_difference
        evidence = "" if off is None else f", evidence by at most {off:.1e}"
        failed = f"; {len(self.failed)} could not be read" if self.failed else ""
        return (
            f"check: {self.agreement} of {self.pictures} first answers are the library's, "
            f"probabilities differ by at most {self.largest_difference:.1e}{evidence}{cosine}; "
            f"{self.milliseconds:.0f} ms a picture, the library {self.library_milliseconds:.0f}"
            f"{failed}"
        )


def check(
    exported: Export, encoder: Encoder, answering: Answering, sources: Sources | None = None
) -> ExportCheck:
    """Compare a file with the library on pictures.

    Parameters
    ----------
    exported : Export
        The file.
    encoder : Encoder
        Of the model that it was made of.
    answering : Answering
        The labels and the score that it was made with.
    sources : Sources, optional
        Pictures; by default two that ship with the package.

    Returns
    -------
    ExportCheck

    Raises
    ------
    ModelError
        If the file cannot be run, or no picture could be read.
    """
    network = OnnxNetwork(exported.path)
    differences, evidence_differences, cosines, agreement = [], [], [], 0
    seconds: list[float] = []
    library_seconds: list[float] = []
    failed: dict[str, str] = {}
    for picture in _pictures(sources, encoder, failed):
        pixels = _resized(picture, exported.fixed)
        start = perf_counter()
        outputs = network.run(pixels if exported.fixed is None else pixels[None])
        seconds.append(perf_counter() - start)
        start = perf_counter()
        arrays = encoder.model.preprocess(Image.fromarray(pixels))
        embedding = encoder.encode_pixels([arrays])
        library_seconds.append(perf_counter() - start)
        _, probabilities, _ = label_probabilities(embedding, answering.labels, answering.decision)
        given = outputs[PROBABILITIES].reshape(1, -1)
        differences.append(float(np.abs(given - probabilities).max()))
        same = bool(given.argmax() == probabilities.argmax())
        if answering.reference_set is not None:
            texts = answering.labels.matrix[~answering.labels.background_mask]
            right = float(evidence(embedding, texts, answering.reference_set)[0])
            by_file = float(outputs[EVIDENCE].ravel()[0])
            evidence_differences.append(abs(by_file - right))
            same &= (by_file < LEAST_EVIDENCE) == (right < LEAST_EVIDENCE)
        agreement += same
        if EMBEDDING in outputs:
            cosines.append(float((outputs[EMBEDDING].reshape(1, -1) * embedding).sum()))
    if not differences:
        raise ModelError(f"{exported.path}: it cannot be checked, as no picture could be read.")
    return ExportCheck(
        len(differences),
        agreement,
        max(differences),
        min(cosines) if cosines else None,
        1000 * median(seconds),
        1000 * median(library_seconds),
        failed,
        max(evidence_differences, default=None),
    )


def _pictures(
    sources: Sources | None, encoder: Encoder, failed: dict[str, str]
) -> Iterable[Image.Image]:
    """Upright RGB pictures, decoded in full."""
    if sources is None:
        folder = packaged("data/check")
        sources = [folder.joinpath(name).read_bytes() for name in PICTURES]
    for source in expand(sources):
        try:
            yield open_image(source.content, limits=encoder.limits)
        except UnseenError as error:
            failed[source.name] = str(error)


def _resized(picture: Image.Image, fixed: tuple[int, int] | None) -> NDArray[np.uint8]:
    if fixed is not None:
        picture = picture.resize((fixed[1], fixed[0]), Image.Resampling.BICUBIC)
    return np.asarray(picture)
