"""`pipeline`, a drop-in for the transformers call of the same name, for this one task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from unseen.classifier import Classifier, load
from unseen.encoder import Encoded
from unseen.errors import LabelError, SourceError, UnseenError
from unseen.labels.compiled import CompiledLabels
from unseen.load_options import device_name, precision_name
from unseen.prediction.decision import Decision
from unseen.sources.item import Source, name_of
from unseen.transformers.loading import REFUSED as FROM_PRETRAINED
from unseen.transformers.modeling import ZeroShotModel
from unseen.transformers.processing import ImageProcessor, Tokenizer

if TYPE_CHECKING:
    from unseen.types import ImageLike

TASK = "zero-shot-image-classification"

# Options of transformers that ask for what is done differently here → what to do instead.
REFUSED = {
    "token": FROM_PRETRAINED["token"],
    "config": "a checkpoint's own config is read",
    "model_kwargs": "dtype, device_map and revision are options of their own",
}

Ranking = list[dict[str, Any]]  # [{"score": …, "label": …}, …], best first


def pipeline(
    task: str | None = None,
    model: str | Path | ZeroShotModel | None = None,
    config: Any = None,
    tokenizer: Any = None,
    feature_extractor: Any = None,
    image_processor: Any = None,
    *,
    processor: Any = None,
    framework: str | None = None,
    revision: str | None = None,
    use_fast: bool | None = None,
    token: str | bool | None = None,
    device: Any = None,
    device_map: Any = None,
    dtype: Any = None,
    torch_dtype: Any = None,
    trust_remote_code: bool | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
) -> ZeroShotImageClassification:
    """What `transformers.pipeline("zero-shot-image-classification", model=…)` gives.

    Parameters
    ----------
    task : str, optional
        ``"zero-shot-image-classification"``, the only task.
    model : str, Path or model of unseen.transformers, optional
        What `load` takes; by default the built-in model.
    tokenizer, feature_extractor, image_processor, processor : optional
        The name of the model, or parts of it by `unseen.transformers`: the model's own are used.
    revision : str, optional
        Branch, tag or commit of a hub id.
    device, device_map : int, str or torch.device, optional
        What transformers takes: None or -1 for the CPU, a number or ``"cuda:1"`` for a GPU,
        ``"mps"`` or ``"auto"``. Give one of the two.
    dtype, torch_dtype : torch.dtype or str, optional
        float16 is computed in half precision, everything else in float32.
    framework : str, optional
        ``"pt"``, of no effect; another is refused.
    use_fast, trust_remote_code : bool, optional
        Of no effect: there is one tokenizer, and no code of a checkpoint is run.
    config, token, model_kwargs : optional
        Refused, with what to do instead.
    batch_size : int, optional
        Pictures that the network takes at once; by default as many as suit the model.

    Returns
    -------
    ZeroShotImageClassification
        Callable with an image, or several, and candidate labels.

    Raises
    ------
    UnseenError
        If the task is another one, or an option cannot be taken.
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
    _refuse({"config": config, "token": token, "model_kwargs": model_kwargs})
    if framework not in (None, "pt"):
        raise UnseenError(
            f"framework={framework!r} is not one here: no framework is needed; leave it out."
        )
    if device is not None and device_map is not None:
        raise UnseenError("give one of device and device_map.")
    parts = (tokenizer, feature_extractor, image_processor, processor)
    if isinstance(model, ZeroShotModel):
        _check_parts(parts, model.encoder.model.name)
        return ZeroShotImageClassification(Classifier(model.encoder), batch_size)
    name = "builtin" if model is None else str(model)
    _check_parts(parts, name)
    classifier = load(
        name,
        revision=revision,
        device=device_name(device_map if device is None else device, none="cpu"),
        precision=precision_name(torch_dtype if dtype is None else dtype),
    )
    return ZeroShotImageClassification(classifier, batch_size)


def _refuse(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if value not in (None, False):
            raise UnseenError(f"pipeline does not take {name} here: {REFUSED[name]}.")


def _check_parts(parts: Iterable[Any], model: str) -> None:
    """UnseenError for a tokenizer or processor that is not the model's own."""
    for part in parts:
        own = isinstance(part, (str, Path)) and str(part) == model
        if part is None or own or getattr(part, "model_name", None) == model:
            continue
        raise UnseenError(
            f"the tokenizer and the image processor are those of the model, {model}: leave "
            f"{type(part).__name__ if not isinstance(part, (str, Path)) else repr(str(part))} out."
        )


class ZeroShotImageClassification:
    """Callable like the transformers pipeline object."""

    task = TASK

    def __init__(self, classifier: Classifier, batch_size: int | None = None) -> None:
        self.classifier = classifier
        self.batch_size = batch_size

    @property
    def model(self) -> ZeroShotModel:
        """The model, called by hand as in `unseen.transformers`."""
        return ZeroShotModel(self.classifier.encoder)

    @property
    def tokenizer(self) -> Tokenizer:
        """Texts → token ids."""
        return Tokenizer(self.classifier.model)

    @property
    def image_processor(self) -> ImageProcessor:
        """Pictures → pixel values."""
        return ImageProcessor(self.classifier.model)

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
        """One picture → its ranking; a list → a list of rankings; a generator, or a data set with
        a length and places (a `KeyDataset`) → a generator.

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
        if _is_dataset(image):
            image = _items(cast("Any", image))
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


def _is_dataset(image: Any) -> bool:
    """Whether this has a length and places, as a data set of torch or of `datasets` has."""
    single = (str, bytes, bytearray, memoryview, list, tuple, Mapping)
    has_places = hasattr(image, "__len__") and hasattr(image, "__getitem__")
    return has_places and not isinstance(image, single) and not hasattr(image, "__array__")


def _items(dataset: Any) -> Iterator[Any]:
    """The items of a data set, one after the other."""
    for index in range(len(dataset)):
        item = dataset[index]
        if isinstance(item, Mapping):
            columns = ", ".join(map(repr, item))
            raise SourceError(
                f"an item of the data set is a row with the columns {columns}; pass the column of "
                'the pictures alone, for example dataset["image"].'
            )
        yield item


def _raising(stream: Iterator[Encoded]) -> Iterator[Encoded]:
    """The same, until a picture that could not be read: its error is raised."""
    for encoded in stream:
        if encoded.error is not None:
            raise encoded.error
        yield encoded
