"""How a model is loaded: one frozen object for Python, the command line, the server, a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.errors import ModelError
from unseen.images.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from unseen.prediction.adapter import Adapter

# Name → the precisions of the image net and of the text net.
PRECISIONS = {
    "fp32": ("fp32", "fp32"),
    "fp16": ("fp16", "fp16"),
    "int8": ("int8", "fp32"),
    "int8-both": ("int8", "int8"),
    "auto": ("auto", "fp32"),
}
# The names of torch and transformers for a dtype → ours. What is computed in 32 bits is at least as
# exact as bfloat16.
DTYPES = {"float16": "fp16", "half": "fp16", "float32": "fp32", "float": "fp32", "bfloat16": "fp32"}


def device_name(device: Any, none: str = "auto") -> str:
    """A device in the words of torch or transformers → ours.

    None is `none`, -1 the processor, another number a GPU; {"": device} is a device map of one.
    """
    if isinstance(device, dict) and len(device) == 1:
        (device,) = device.values()
    if device is None:
        return none
    if isinstance(device, int) and not isinstance(device, bool):
        return "cpu" if device < 0 else f"cuda:{device}"
    name = str(device)
    return f"cuda:{name}" if name.isascii() and name.isdecimal() else name


def precision_name(dtype: Any) -> str:
    """A dtype of torch or numpy, or its name → a precision. None and "auto" are fp32.

    Raises ModelError for another dtype.
    """
    name = str(dtype).removeprefix("torch.")
    if dtype is None or name == "auto":
        return "fp32"
    if name not in DTYPES:
        raise ModelError(
            f"unknown dtype {name!r}; choose one of: {', '.join(DTYPES)}. Whole numbers are "
            'precision="int8" of unseen.load.'
        )
    return DTYPES[name]


@dataclass(frozen=True)
class LoadOptions:
    """How a model is loaded. Picklable: another process loads the same model with it.

    Parameters
    ----------
    model : str
        ``builtin``, a short name (``unseen models``), a hub id (``org/name`` or
        ``org/name@revision``), a folder, or an .onnx file of ``unseen distil``.
    revision : str, optional
        Branch, tag or commit of a hub id. None: the newest, or what is on this machine.
    precision : str
        Of the image network: ``fp32``, ``fp16``, ``int8``, or ``auto``, the fastest that stays
        near fp32. The text network has fp16 with ``fp16``, and fp32 otherwise; ``int8-both`` is
        int8 of both, for very many prompts.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. A number (that GPU; -1 is the CPU) and a
        torch.device become one of these.
    threads : int, optional
        Of the networks on a CPU. None: as many as may be used.
    exact : bool
        Decode JPEGs in full. Otherwise a decoder may stop at three times the size that is needed
        (cosine to exact at least 0.999).
    limits : Limits
        What a picture may cost.
    commercial : bool
        Refuse a model whose licence is not known to allow commercial use.
    adapter : str, Path or Adapter, optional
        What ``unseen adapt`` made for this model.

    Raises
    ------
    ModelError
        For a precision that does not exist.

    Examples
    --------
    >>> from dataclasses import replace
    >>> import unseen
    >>> options = unseen.LoadOptions("fast", precision="int8")
    >>> replace(options, threads=2).threads
    2
    """

    model: str = "builtin"
    revision: str | None = None
    precision: str = "fp32"
    device: str = "auto"
    threads: int | None = None
    exact: bool = False
    limits: Limits = DEFAULT_LIMITS
    commercial: bool = False
    adapter: str | Path | Adapter | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", device_name(self.device))
        if self.precision not in PRECISIONS:
            choices = ", ".join(PRECISIONS)
            raise ModelError(f"unknown precision {self.precision!r}; choose one of: {choices}")

    def facts(self) -> dict[str, Any]:
        """The options that change an embedding, for the manifest of a result.

        Returns
        -------
        dict
            ``exact`` and ``precision``.
        """
        return {"exact": self.exact, "precision": self.precision}


DEFAULT_LOAD_OPTIONS = LoadOptions()
