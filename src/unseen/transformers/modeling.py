"""Models that are called as those of transformers, with the networks of this package."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoder
from unseen.errors import LabelError, ModelError, UnseenWarning
from unseen.load_options import LoadOptions, device_name, precision_name
from unseen.models.compiled import CompiledNetwork
from unseen.models.inputs import FixedLength, Masked
from unseen.models.reference_outputs import tower
from unseen.models.text_batches import Batch as TextBatch
from unseen.models.text_batches import text_batches
from unseen.networks.network import EMBEDDING, PROJECTED
from unseen.prediction import score
from unseen.runtimes.devices import execution_target
from unseen.transformers.arrays import Array, as_array, as_numpy, is_tensor, like
from unseen.transformers.batch import Batch
from unseen.transformers.loading import encoder_of
from unseen.transformers.processing import pixels_of
from unseen.types import Floats

OFF_LEVEL = 0.05  # grey levels off a whole one: more than the rounding of 32-bit floats
HALVES = ("float16", "bfloat16")  # whose own rounding is larger

M = TypeVar("M", bound="ZeroShotModel")


class ModelOutput(Batch):
    """What a model gives: arrays by name, as attributes, or by their place."""

    def __getitem__(self, key: Any) -> Any:
        """By name, or by place as in a tuple."""
        return self.to_tuple()[key] if isinstance(key, (int, slice)) else super().__getitem__(key)

    def to_tuple(self) -> tuple[Any, ...]:
        """The arrays in order."""
        return tuple(self.values())


class ZeroShotModel:
    """A model with two towers, called as transformers calls it.

    Parameters
    ----------
    encoder : Encoder
        The model, and how it is loaded.

    Examples
    --------
    >>> from unseen.transformers import AutoModel, AutoProcessor
    >>> model = AutoModel.from_pretrained("tests/fixtures/shapes-clip")
    >>> processor = AutoProcessor.from_pretrained("tests/fixtures/shapes-clip")
    >>> inputs = processor(
    ...     text=["a cat", "a dog"], images="examples/cat.jpg", return_tensors="np", padding=True
    ... )
    >>> model(**inputs).logits_per_image.softmax(dim=1).shape
    (1, 2)
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    @classmethod
    def from_pretrained(
        cls: type[M],
        checkpoint: str | Path,
        *,
        revision: str | None = None,
        device_map: Any = None,
        dtype: Any = None,
        torch_dtype: Any = None,
        attn_implementation: str | None = None,
        use_safetensors: bool | None = None,
        low_cpu_mem_usage: bool | None = None,
        trust_remote_code: bool = False,
        quantization_config: Any = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
    ) -> M:
        """The model of a checkpoint. Nothing is compiled before it is first called.

        Parameters
        ----------
        checkpoint : str or Path
            A hub id, a folder, or a short name of `unseen models`.
        revision : str, optional
            Branch, tag or commit of a hub id.
        device_map : str, int or dict, optional
            "auto", "cpu", "cuda", …; None for the CPU.
        dtype, torch_dtype : torch.dtype or str, optional
            float16 is computed in half precision, everything else in float32.
        attn_implementation, use_safetensors, low_cpu_mem_usage, trust_remote_code
            Taken, and of no effect: no code of a checkpoint is run, and no pickle.
        quantization_config, cache_dir, token, local_files_only
            Refused, with what to do instead.

        Returns
        -------
        ZeroShotModel

        Raises
        ------
        ModelError
            If the checkpoint is not there, cannot be read, or an option is refused.
        """
        return cls(
            encoder_of(
                checkpoint,
                revision,
                device_map,
                torch_dtype if dtype is None else dtype,
                quantization_config=quantization_config,
                cache_dir=cache_dir,
                token=token,
                local_files_only=local_files_only,
            )
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.encoder.described})"

    def __getattr__(self, name: str) -> Any:
        """Only called for what is not here."""
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(
            f"{name!r} of a model is not covered by unseen.transformers. Labels in, scores out: "
            "unseen.load(…).classify; learning from pictures: unseen.adapt and unseen.distil; "
            "hidden layers, gradients and configs: transformers itself."
        )

    # calls

    def __call__(
        self,
        input_ids: Any = None,
        pixel_values: Any = None,
        attention_mask: Any = None,
        position_ids: Any = None,
        return_loss: bool | None = None,
        *,
        token_type_ids: Any = None,
        return_dict: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        interpolate_pos_encoding: bool = False,
    ) -> Any:
        """The logits of n pictures and k texts, and their embeddings.

        Parameters
        ----------
        input_ids : array or tensor of shape (k, length)
            Token ids of a processor.
        pixel_values : array or tensor of shape (n, 3, height, width)
            Of a processor, this package's or transformers'; rounded to whole grey levels.
        attention_mask : array or tensor of shape (k, length), optional
            As the processor gives it.
        position_ids, return_loss, output_attentions, output_hidden_states, \
interpolate_pos_encoding
            Refused.
        token_type_ids : array or tensor, optional
            Zeros, as the processor gives them.
        return_dict : bool, optional
            False: a tuple.

        Returns
        -------
        ModelOutput
            ``logits_per_image`` (n, k), ``logits_per_text`` (k, n), ``text_embeds`` (k, d) and
            ``image_embeds`` (n, d), rows of length 1.
        """
        _refuse(
            position_ids=position_ids,
            return_loss=return_loss,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            interpolate_pos_encoding=interpolate_pos_encoding,
        )
        if input_ids is None or pixel_values is None:
            raise ModelError(
                "a model takes input_ids and pixel_values; for one of them alone there are "
                "get_text_features and get_image_features."
            )
        texts = self._texts(input_ids, attention_mask, token_type_ids, EMBEDDING)
        images = self._images(pixel_values, EMBEDDING)
        logits = score.logits(score.cosines(images, texts), self.encoder.model.score)
        arrays = {
            "logits_per_image": logits,
            "logits_per_text": np.ascontiguousarray(logits.T),
            "text_embeds": texts,
            "image_embeds": images,
        }
        output = ModelOutput({name: like(a, pixel_values) for name, a in arrays.items()})
        return output.to_tuple() if return_dict is False else output

    def get_image_features(
        self, pixel_values: Any, *, interpolate_pos_encoding: bool = False
    ) -> Any:
        """The embeddings of pictures before they are brought to length 1.

        Parameters
        ----------
        pixel_values : array or tensor of shape (n, 3, height, width)
            Of a processor.
        interpolate_pos_encoding : bool
            Refused.

        Returns
        -------
        Array or tensor of shape (n, d)
            As transformers 4 gives it; its ``pooler_output`` is what transformers 5 has there.
        """
        _refuse(interpolate_pos_encoding=interpolate_pos_encoding)
        return _pooled(like(self._images(pixel_values, PROJECTED), pixel_values))

    def get_text_features(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        position_ids: Any = None,
        *,
        token_type_ids: Any = None,
    ) -> Any:
        """The embeddings of texts before they are brought to length 1.

        Parameters
        ----------
        input_ids, attention_mask, token_type_ids : array or tensor of shape (k, length)
            Of a processor.
        position_ids
            Refused.

        Returns
        -------
        Array or tensor of shape (k, d)
            As of `get_image_features`.
        """
        _refuse(position_ids=position_ids)
        texts = self._texts(input_ids, attention_mask, token_type_ids, PROJECTED)
        return _pooled(like(texts, input_ids))

    # what a torch module has

    @property
    def logit_scale(self) -> Array:
        """The logarithm of what cosines are multiplied by."""
        return as_array(np.float32(np.log(self.encoder.model.score.scale)))

    @property
    def logit_bias(self) -> Array:
        """What is added to them."""
        return as_array(np.float32(self.encoder.model.score.bias))

    @property
    def device(self) -> str:
        """Where tensors may stay: the model moves what it needs."""
        return "cpu"

    def eval(self: M) -> M:
        """Itself: it is never in training."""
        return self

    def train(self: M, mode: bool = True) -> M:
        """Itself for False; a ModelError for True."""
        if mode:
            raise ModelError(
                "this model cannot be trained: unseen.adapt learns from a few labelled pictures, "
                "unseen.distil trains a small classifier, and transformers trains the model itself."
            )
        return self

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Itself for False; a ModelError for True."""
        return self.train(requires_grad)

    def to(self: M, device: Any = None, dtype: Any = None) -> M:
        """The model moved to a device, or to another precision, as `LoadOptions` has them."""
        if device is not None and str(device).startswith("torch."):
            device, dtype = None, device
        options = self.encoder.options
        if device is not None:
            options = replace(options, device=device_name(device))
        if dtype is not None:
            options = replace(options, precision=precision_name(dtype))
        if options != self.encoder.options:
            self._load(options)
        return self

    def cuda(self: M, device: int | None = None) -> M:
        """The model on a GPU."""
        return self.to("cuda" if device is None else device)

    def cpu(self: M) -> M:
        """The model on the CPU."""
        return self.to("cpu")

    def half(self: M) -> M:
        """The model in half precision."""
        return self.to(dtype="float16")

    def float(self: M) -> M:
        """The model in 32 bits."""
        return self.to(dtype="float32")

    # networks

    def _load(self, options: LoadOptions) -> None:
        self.encoder = Encoder(self.encoder.model, options)
        self.__dict__.pop("_networks", None)

    @cached_property
    def _networks(self) -> dict[tuple[str, str], CompiledNetwork]:
        """Tower and output → the network; what has the embedding is compiled for all of unseen."""
        model, options = self.encoder.model, self.encoder.options
        find_target = cache(partial(execution_target, options.device))
        return {
            (name, output): CompiledNetwork(
                tower(model, name), find_target=find_target, options=options, outputs=(output,)
            )
            for name in ("image", "text")
            for output in (EMBEDDING, PROJECTED)
        }

    def _network(self, name: str, output: str) -> CompiledNetwork:
        make = self.encoder.model.image_network if name == "image" else None
        network = (make or self.encoder.model.text_network)()
        has = {one.name for one in network.outputs}
        return self._networks[name, output if output in has else EMBEDDING]

    def _images(self, pixel_values: Any, output: str) -> Floats:
        given = as_numpy(pixel_values)
        pixels, off = pixels_of(given, self.encoder.model.preprocess)
        if off > OFF_LEVEL and not any(half in str(pixel_values.dtype) for half in HALVES):
            warnings.warn(
                "pixel_values lie between whole grey levels, and were rounded to them: the "
                "networks here take bytes.",
                UnseenWarning,
                stacklevel=3,
            )
        network, size = self._network("image", output), self.encoder.batch_size
        parts = [
            network(*self.encoder.model.image_inputs(list(pixels[start : start + size])))
            for start in range(0, len(pixels), size)
        ]
        return np.concatenate(parts)

    def _texts(self, input_ids: Any, mask: Any, types: Any, output: str) -> Floats:
        ids = as_numpy(input_ids)
        if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
            raise LabelError(
                f"input_ids are whole numbers of the shape (texts, tokens), not {ids.dtype} of the "
                f"shape {ids.shape}."
            )
        if types is not None and as_numpy(types).any():
            raise LabelError("token_type_ids other than 0 are not covered: a text is one segment.")
        model = self.encoder.model
        if ids.shape[1] > model.context_length:
            raise LabelError(
                f"the texts have {ids.shape[1]} tokens, and {model.name} reads "
                f"{model.context_length}: pass truncation=True to the processor."
            )
        lengths = _lengths(ids, mask)
        network = self._network("text", output)
        batches = list(self._text_batches(ids, lengths))
        parts = [network(*arrays) for _, arrays in batches]
        order = [text for batch, _ in batches for text in batch]
        return np.concatenate(parts)[np.argsort(order)]

    def _text_batches(self, ids: NDArray[Any], lengths: NDArray[Any]) -> Iterator[TextBatch]:
        """Padded ids as the text net takes them."""
        model = self.encoder.model
        rule = model.text_inputs
        if isinstance(rule, FixedLength):
            if (lengths < ids.shape[1]).any():
                raise LabelError(
                    "a SigLIP reads its padding, as it was trained: leave attention_mask out."
                )
            if ids.shape[1] < rule.context_length:
                warnings.warn(
                    "this model was trained with texts of full length: pass "
                    f'padding="max_length" to the processor (it has {ids.shape[1]} of '
                    f"{rule.context_length} tokens now), else scores are off.",
                    UnseenWarning,
                    stacklevel=4,
                )
            rule = replace(rule, context_length=ids.shape[1])
        rows = ids.tolist()
        if isinstance(rule, Masked):
            rows = [row[:length] for row, length in zip(rows, lengths.tolist(), strict=True)]
        return text_batches(model, rows, rule)


def _lengths(ids: NDArray[Any], mask: Any) -> NDArray[Any]:
    """How many tokens of each text count: the mask must be ones, then zeros."""
    if mask is None:
        return np.full(len(ids), ids.shape[1])
    ones = as_numpy(mask) != 0
    lengths = ones.sum(1)
    expected = np.arange(ids.shape[1]) < lengths[:, None]
    if ones.shape != ids.shape or (ones != expected).any():
        raise LabelError(
            "attention_mask must have the shape of input_ids, and in each row ones and then zeros: "
            'pad on the right (padding_side="right").'
        )
    return np.asarray(lengths)


def _pooled(features: Any) -> Any:
    """transformers 5 has the features as `pooler_output` of what it gives."""
    features.pooler_output = features.detach() if is_tensor(features) else features.view(Array)
    return features


def _refuse(**options: Any) -> None:
    for name, value in options.items():
        if value not in (None, False):
            raise ModelError(
                f"{name} is not covered by unseen.transformers: use transformers itself for it."
            )
