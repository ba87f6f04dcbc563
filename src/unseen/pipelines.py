"""`pipeline`, a drop-in for the transformers call of the same name, for this one task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from unseen.classifier import Classifier, load
from unseen.encoder import Encoded
from unseen.errors import LabelError, SourceError, UnseenError
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.decision import Decision
from unseen.sources.item import Source, name_of

if TYPE_CHECKING:
    from unseen.types import ImageLike

TASK = "zero-shot-image-classification"

Ranking = list[dict[str, Any]]  # [{"score": …, "label": …}, …], best first


def pipeline(
    task: str | None = None,
    model: str | Path | None = None,
    *,
    revision: str | None = None,
    device: Any = None,
    batch_size: int | None = None,
) -> ZeroShotImageClassification:
    """What `transformers.pipeline("zero-shot-image-classification", model=…)` gives.

    Parameters
    ----------
    task : str, optional
        ``"zero-shot-image-classification"``, the only task.
    model : str or Path, optional
        What `load` takes; by default the built-in model.
    revision : str, optional
        Branch, tag or commit of a hub id.
    device : int, str or torch.device, optional
        What transformers takes: None or -1 for the CPU, a number or ``"cuda:1"`` for a GPU,
        ``"mps"`` or ``"auto"``.
    batch_size : int, optional
        Pictures that the network takes at once; by default as many as suit the model.

    Returns
    -------
    ZeroShotImageClassification
        Callable with an image, or several, and candidate labels.

    Raises
    ------
    UnseenError
        If the task is another one.
    ModelError
        If the model does not exist, or cannot be read.

    Examples
    --------
    >>> import unseen
    >>> classify = unseen.pipeline("zero-shot-image-classification")
    >>> classify("examples/cat.jpg", candidate_labels=["cat", "dog"])[0]["label"]
    'cat'
    """
    if task not in (None, TASK):
        raise UnseenError(f"unknown task {task!r}; the only one is {TASK!r}.")
    classifier = load(
        "builtin" if model is None else model, revision=revision, device=_device(device)
    )
    return ZeroShotImageClassification(classifier, batch_size)


def _device(device: Any) -> str:
    """transformers' ways to name a device → ours."""
    if device is None or device == -1:
        return "cpu"
    return f"cuda:{device}" if isinstance(device, int) else str(device)


class ZeroShotImageClassification:
    """Callable like the transformers pipeline object."""

    task = TASK

    def __init__(self, classifier: Classifier, batch_size: int | None = None) -> None:
        self.classifier = classifier
        self.batch_size = batch_size

    def __call__(
        self,
        image: ImageLike | Iterable[ImageLike] | None = None,
        candidate_labels: Sequence[str] | None = None,
        hypothesis_template: str | None = None,
        *,
        images: ImageLike | Iterable[ImageLike] | None = None,
        batch_size: int | None = None,
        timeout: float | None = None,
    ) -> Any:
        """One picture → its ranking; a list → a list of rankings; a generator → a generator.

        A ranking is `[{"score": float, "label": str}, …]`, best first, of all labels.
        `hypothesis_template` defaults to the model's own, for CLIP "This is a photo of {}.".
        `images` is the older name of `image`; `timeout` is in seconds, for a URL.
        Unlike `Classifier.classify_many`, this raises when a picture cannot be read.
        """
        image = images if image is None else image
        if image is None:
            raise SourceError("no picture was given: pass a path, a URL, a PIL image or a list.")
        if candidate_labels is None:
            raise LabelError("no candidate_labels were given.")
        several = isinstance(image, (list, tuple, Iterator))
        each = cast("Iterable[ImageLike]", image if several else [image])
        rankings = self._stream(
            each,
            self.classifier.compile(candidate_labels, template=hypothesis_template),
            batch_size or self.batch_size,
            timeout,
        )
        if isinstance(image, Iterator):
            return rankings
        return list(rankings) if several else next(rankings)

    def _stream(
        self,
        images: Iterable[ImageLike],
        labels: CompiledLabels,
        batch_size: int | None,
        timeout: float | None,
    ) -> Iterator[Ranking]:
        encoder = self.classifier.encoder
        limits = encoder.limits
        if timeout is not None:
            limits = replace(limits, max_seconds=timeout)
        single = (Source(name_of(image, n), image) for n, image in enumerate(images))
        stream = encoder.stream_images(single, batch_size=batch_size, limits=limits)
        good = _raising(stream)
        for prediction in self.classifier.predictions(
            good, labels, Decision(), batch_size=batch_size
        ):
            yield list(prediction)


def _raising(stream: Iterator[Encoded]) -> Iterator[Encoded]:
    """The same, until a picture that could not be read: its error is raised."""
    for encoded in stream:
        if encoded.error is not None:
            raise encoded.error
        yield encoded
