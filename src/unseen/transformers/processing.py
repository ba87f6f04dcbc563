"""Texts and pictures → the arrays that transformers' processors make of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoder, read_pixels
from unseen.errors import LabelError, ModelError, SourceError, UnseenError
from unseen.images.preprocess import Preprocess
from unseen.models.checkpoint import Checkpoint, read_json, tokenizer_setting
from unseen.models.inputs import PictureArrays
from unseen.models.model import Model, Preprocessing
from unseen.models.tokenizers.tokenizer import TokenizerSpec
from unseen.transformers.arrays import as_numpy, check_kind, is_tensor, returned
from unseen.transformers.batch import Batch
from unseen.transformers.loading import encoder_of

IDS, TYPES, MASK = "input_ids", "token_type_ids", "attention_mask"
# What transformers' tokenizer classes take where the files do not say: a family → the token that
# pads, and what they return.
PADDING = {
    "clip": "<|endoftext|>",
    "clipseg": "<|endoftext|>",
    "siglip": "</s>",
    "altclip": "<pad>",
    "chinese_clip": "[PAD]",
    "align": "[PAD]",
}
NAMES = {
    "siglip": (IDS,),
    "chinese_clip": (IDS, TYPES, MASK),
    "align": (IDS, TYPES, MASK),
}
LONGEST, MAX_LENGTH, NO_PADDING = "longest", "max_length", "do_not_pad"
UNLIMITED = 10**9  # what tokenizer_config.json says where there is no limit is far above
TOKENIZER_CONFIG = "tokenizer_config.json"


class Tokenizer:
    """Texts → token ids, as transformers' tokenizer of the same checkpoint gives them.

    Parameters
    ----------
    model : Model
        Whose tokenizer.
    """

    def __init__(self, model: Model) -> None:
        self._model, self.model_name = model, model.name
        self.model_max_length = model.context_length
        self.model_input_names: tuple[str, ...] = NAMES.get(model.family, (IDS, MASK))
        self.pad_token_id = 0
        if isinstance(model.tokenizer, TokenizerSpec):
            self._read_settings(Checkpoint(model.name, Path(model.tokenizer.folder)))

    def _read_settings(self, checkpoint: Checkpoint) -> None:
        family = self._model.family
        stated = tokenizer_setting(checkpoint, "pad_token") if family in PADDING else None
        token = stated or PADDING.get(family)
        token_id = None if token is None else self._model.tokenizer.token_id(token)
        self.pad_token_id = 0 if token_id is None else token_id
        if family not in PADDING or not (checkpoint.folder / TOKENIZER_CONFIG).is_file():
            return
        settings = read_json(checkpoint, TOKENIZER_CONFIG)
        names, limit = settings.get("model_input_names"), settings.get("model_max_length")
        if isinstance(names, list):
            self.model_input_names = tuple(str(name) for name in names)
        if isinstance(limit, int) and 0 < limit < UNLIMITED:
            self.model_max_length = limit

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | Path,
        *,
        revision: str | None = None,
        use_fast: bool | None = None,
        trust_remote_code: bool = False,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
    ) -> Tokenizer:
        """The tokenizer of a checkpoint.

        Parameters
        ----------
        checkpoint : str or Path
            A hub id, a folder, or a short name of `unseen models`.
        revision : str, optional
            Branch, tag or commit of a hub id.
        use_fast, trust_remote_code
            Taken, and of no effect: there is one tokenizer, and no code of a checkpoint is run.
        cache_dir, token, local_files_only
            Refused, with what to do instead.

        Returns
        -------
        Tokenizer
        """
        return cls(_model_of(checkpoint, revision, cache_dir, token, local_files_only))

    def __call__(
        self,
        text: str | Sequence[str],
        *,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
    ) -> Batch:
        """Token ids, and what else the model takes of texts.

        Parameters
        ----------
        text : str or sequence of str
            The prompts, as they are: no template is added.
        padding : bool or str
            True or "longest", "max_length", or False.
        truncation : bool or str
            Whether a text over the limit is cut.
        max_length : int, optional
            The limit, in tokens. None: the model's.
        return_tensors : str, optional
            "pt", "np" or, for lists, None.

        Returns
        -------
        Batch
            ``input_ids`` and, as the checkpoint has it, ``attention_mask``, ``token_type_ids``.
        """
        check_kind(return_tensors)
        texts = [text] if isinstance(text, str) else list(text)
        for one in texts:
            if not isinstance(one, str):
                raise LabelError(
                    f"text is a str or a list of str; {one!r} is of the type {type(one).__name__}."
                )
        limit = max_length or self.model_max_length
        rows, _ = self._model.tokenizer.encode(texts, limit if truncation else None)
        pad = {True: LONGEST, False: NO_PADDING}.get(padding, padding)  # type: ignore[arg-type]
        if pad not in (LONGEST, MAX_LENGTH, NO_PADDING):
            raise LabelError(
                f"padding={padding!r}; choose one of: True, False, 'longest', 'max_length'."
            )
        lengths = [len(row) for row in rows]
        width = {LONGEST: max(lengths, default=0), MAX_LENGTH: limit}.get(pad, 0)
        values = {
            IDS: [row + [self.pad_token_id] * (width - len(row)) for row in rows],
            TYPES: [[0] * max(width, length) for length in lengths],
            MASK: [[1] * length + [0] * (width - length) for length in lengths],
        }
        values = {name: values[name] for name in (IDS, TYPES, MASK) if name in self._names}
        if return_tensors is None:
            single = isinstance(text, str)
            return Batch({k: rows[0] if single else rows for k, rows in values.items()})
        if len({len(row) for row in values[IDS]}) > 1:
            raise LabelError(
                "the texts differ in length: pass padding=True (and truncation=True, if one may "
                "be longer than the model reads)."
            )
        return Batch(
            {k: returned(np.array(v, dtype=np.int64), return_tensors) for k, v in values.items()}
        )

    @property
    def _names(self) -> tuple[str, ...]:
        return self.model_input_names


class ImageProcessor:
    """Pictures → pixel values, as transformers' image processor of the same checkpoint.

    Parameters
    ----------
    model : Model
        Whose preprocessing.
    """

    def __init__(self, model: Model) -> None:
        self._model, self.model_name = model, model.name

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | Path,
        *,
        revision: str | None = None,
        use_fast: bool | None = None,
        trust_remote_code: bool = False,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
    ) -> ImageProcessor:
        """The image processor of a checkpoint; the parameters are those of `Tokenizer`."""
        return cls(_model_of(checkpoint, revision, cache_dir, token, local_files_only))

    def __call__(self, images: Any, *, return_tensors: str | None = None) -> Batch:
        """Pixel values of one picture or several.

        Parameters
        ----------
        images : picture or sequence of pictures
            What `unseen.open_image` takes, and tensors and arrays with the channels first.
        return_tensors : str, optional
            "pt", "np" or, for a list of arrays, None.

        Returns
        -------
        Batch
            ``pixel_values``, (n, 3, height, width), float32.
        """
        check_kind(return_tensors)
        values = [
            pixel_values(self._pixels(image), self._model.preprocess) for image in _each(images)
        ]
        if not values:
            raise SourceError("no picture was given: images is an empty list.")
        if return_tensors is None:
            return Batch({"pixel_values": values})
        return Batch({"pixel_values": returned(np.stack(values), return_tensors)})

    def _pixels(self, image: Any) -> PictureArrays:
        pixels = read_pixels(_channels_last(image), self._model.preprocess, exact=True)
        if isinstance(pixels, UnseenError):
            raise pixels
        return pixels


class Processor:
    """A tokenizer and an image processor in one call.

    Parameters
    ----------
    image_processor : ImageProcessor
        For pictures.
    tokenizer : Tokenizer
        For texts.

    Examples
    --------
    >>> from unseen.transformers import AutoProcessor
    >>> processor = AutoProcessor.from_pretrained("tests/fixtures/shapes-clip")
    >>> inputs = processor(
    ...     text=["a cat", "a dog"], images="examples/cat.jpg", return_tensors="np", padding=True
    ... )
    >>> inputs["pixel_values"].shape
    (1, 3, 64, 64)
    """

    def __init__(self, image_processor: ImageProcessor, tokenizer: Tokenizer) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.model_name = tokenizer.model_name

    @classmethod
    def from_pretrained(
        cls,
        checkpoint: str | Path,
        *,
        revision: str | None = None,
        use_fast: bool | None = None,
        trust_remote_code: bool = False,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
    ) -> Processor:
        """The processor of a checkpoint; the parameters are those of `Tokenizer`."""
        model = _model_of(checkpoint, revision, cache_dir, token, local_files_only)
        return cls(ImageProcessor(model), Tokenizer(model))

    def __call__(
        self,
        text: Any = None,
        images: Any = None,
        *,
        padding: bool | str = False,
        truncation: bool | str = False,
        max_length: int | None = None,
        return_tensors: str | None = None,
    ) -> Batch:
        """What the model takes of texts, of pictures, or of both.

        Parameters
        ----------
        text, padding, truncation, max_length
            As of `Tokenizer`.
        images
            As of `ImageProcessor`.
        return_tensors : str, optional
            "pt", "np" or None.

        Returns
        -------
        Batch
        """
        if _is_pictures(text):  # without names releases of transformers differ in the order
            text, images = images, text
        if text is None and images is None:
            raise SourceError("give text, images, or both.")
        batch = Batch()
        if text is not None:
            batch.update(
                self.tokenizer(
                    text,
                    padding=padding,
                    truncation=truncation,
                    max_length=max_length,
                    return_tensors=return_tensors,
                )
            )
        if images is not None:
            batch.update(self.image_processor(images, return_tensors=return_tensors))
        return batch


def pixel_values(pixels: PictureArrays, preprocess: Preprocessing) -> NDArray[Any]:
    """What a network takes of one picture, as transformers has it: float32, channels first.

    The views of the built-in model have no such form, and stay bytes.
    """
    if isinstance(pixels, tuple):
        raise ModelError(
            "this model takes patches of a picture's own shape, and no pixel_values of one size: "
            "use unseen.load, or a model of fixed resolution."
        )
    if not isinstance(preprocess, Preprocess):
        return np.asarray(pixels)
    scale, shift = (np.array(c, dtype=np.float32) for c in preprocess.normalisation())
    return np.asarray((pixels.astype(np.float32) * scale + shift).transpose(2, 0, 1))


def pixels_of(values: NDArray[Any], preprocess: Preprocessing) -> tuple[NDArray[np.uint8], float]:
    """Pixel values (n, 3, height, width) → bytes (n, height, width, 3), and the largest rounding.

    Networks here take bytes, and normalise them themselves. ModelError for what cannot have been
    made by the checkpoint's own processor.
    """
    if not isinstance(preprocess, Preprocess):
        return np.asarray(values, dtype=np.uint8), 0.0
    expected = (3, *(preprocess.output or values.shape[2:]))
    if values.ndim != 4 or values.shape[1:] != expected:
        raise ModelError(
            f"pixel_values have the shape {values.shape}; this model takes (n, "
            f"{', '.join(map(str, expected))}), as its processor makes them."
        )
    scale, shift = (np.array(c, dtype=np.float32) for c in preprocess.normalisation())
    levels = (values.transpose(0, 2, 3, 1).astype(np.float32) - shift) / scale
    if not np.isfinite(levels).all() or levels.min() < -1 or levels.max() > 256:
        raise ModelError(
            "pixel_values are not those of this model's processor: as grey levels they go from "
            f"{levels.min():.0f} to {levels.max():.0f}, and not from 0 to 255."
        )
    rounded = np.rint(levels).clip(0, 255)
    return rounded.astype(np.uint8), float(np.abs(rounded - levels).max())


def _model_of(
    checkpoint: str | Path,
    revision: str | None,
    cache_dir: Any,
    token: Any,
    local_files_only: bool,
) -> Model:
    encoder: Encoder = encoder_of(
        checkpoint,
        revision,
        None,
        None,
        cache_dir=cache_dir,
        token=token,
        local_files_only=local_files_only,
    )
    return encoder.model


def _is_pictures(value: Any) -> bool:
    first = value[0] if isinstance(value, (list, tuple)) and value else value
    return first is not None and not isinstance(first, (str, list, tuple))


def _each(images: Any) -> list[Any]:
    if isinstance(images, (list, tuple)):
        return [image for part in images for image in _each(part)]
    if (is_tensor(images) or isinstance(images, np.ndarray)) and images.ndim == 4:
        return list(images)
    return [images]


def _channels_last(image: Any) -> Any:
    """An array or a tensor (3, height, width) as (height, width, 3), as transformers infers it."""
    if is_tensor(image):
        image = as_numpy(image)
    if isinstance(image, np.ndarray) and image.ndim == 3:
        first, last = image.shape[0], image.shape[-1]
        if first in (1, 3) and last not in (1, 3, 4):
            return np.ascontiguousarray(image.transpose(1, 2, 0))
    return image
