"""`Array`: a numpy array with the methods of a torch tensor that the tutorials call."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unseen.errors import UnseenError
from unseen.prediction import score

PT, NP = "pt", "np"


class ValuesAndIndices(NamedTuple):
    """What torch gives for `topk`, `sort` and `max(dim=…)`."""

    values: Any
    indices: Any


class Array(np.ndarray[Any, np.dtype[Any]]):
    """A numpy array that also answers to `dim=`, `.softmax`, `.numpy()`, `.norm`, `.topk`, …

    Its numbers are where numpy has them: `.cpu()`, `.detach()` and `.to()` give the array itself.
    Single elements stay arrays, as torch's stay tensors.
    """

    __array_priority__ = 2000  # above torch's: what is computed with a tensor is an `Array`

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """What a function of numpy computed is an `Array` too, a single number as well."""
        return as_array(array)

    def __getitem__(self, key: Any) -> Any:
        """A part; of the shape () for one element."""
        return as_array(super().__getitem__(key))

    def __getattr__(self, name: str) -> Any:
        """Only called for what neither numpy nor this class has."""
        raise AttributeError(
            f"{name!r} of a tensor is not covered by the arrays of unseen.transformers; use "
            '.numpy() and numpy, or install torch, and return_tensors="pt" gives real tensors.'
        )

    # what moves a tensor, or marks it

    def numpy(self) -> NDArray[Any]:
        """The plain numpy array."""
        return np.asarray(self)

    def detach(self) -> Array:
        """Itself: there are no gradients."""
        return self

    def cpu(self) -> Array:
        """Itself."""
        return self

    def to(self, device: Any = None, dtype: Any = None) -> Array:
        """Itself: the model moves what it needs."""
        return self

    def float(self) -> Array:
        """As 32-bit floats."""
        return as_array(self.astype(np.float32))

    # shapes

    def dim(self) -> int:
        """How many axes."""
        return self.ndim

    def t(self) -> Array:
        """The transpose of a matrix."""
        return as_array(self.T)

    def unsqueeze(self, dim: int) -> Array:
        """With a new axis."""
        return as_array(np.expand_dims(self, dim))

    def squeeze(self, dim: int | None = None, *, axis: Any = None) -> Any:  # type: ignore[override]
        """Without axes of length 1; with `dim` without that one, if its length is 1."""
        axis = dim if axis is None else axis
        if isinstance(axis, int) and self.shape[axis] != 1:
            return self
        return as_array(np.asarray(self).squeeze(axis))

    # functions

    def softmax(self, dim: int) -> Array:
        """Along an axis, which then sums to 1."""
        last = np.moveaxis(np.asarray(self, dtype=np.float32), dim, -1)
        return as_array(np.moveaxis(score.softmax(last), -1, dim))

    def sigmoid(self) -> Array:
        """Of each element."""
        return as_array(score.sigmoid(np.asarray(self, dtype=np.float32)))

    def exp(self) -> Array:
        """Of each element."""
        return as_array(np.exp(np.asarray(self)))

    def norm(self, p: Any = 2, dim: int | None = None, keepdim: bool = False) -> Array:
        """The length of the vectors along an axis, or of all elements."""
        array, order = np.asarray(self), None if p == "fro" else p
        if dim is None:
            array, dim = array.ravel(), 0
        return as_array(np.linalg.norm(array, ord=order, axis=dim, keepdims=keepdim))

    # reductions: `dim` and `keepdim` are torch's, `axis` and what follows numpy's own

    def argmax(  # type: ignore[override]
        self, dim: int | None = None, keepdim: bool = False, *, axis: Any = None, out: Any = None,
        keepdims: bool = False,
    ) -> Any:  # fmt: skip
        """The index of the largest."""
        return self._reduced("argmax", dim, keepdim or keepdims, axis, out)

    def argmin(  # type: ignore[override]
        self, dim: int | None = None, keepdim: bool = False, *, axis: Any = None, out: Any = None,
        keepdims: bool = False,
    ) -> Any:  # fmt: skip
        """The index of the smallest."""
        return self._reduced("argmin", dim, keepdim or keepdims, axis, out)

    def sum(  # type: ignore[override]
        self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, out: Any = None,
        dtype: Any = None, keepdims: bool = False,
    ) -> Any:  # fmt: skip
        """Of all elements, or along an axis."""
        return self._reduced("sum", dim, keepdim or keepdims, axis, out, dtype=dtype)

    def mean(  # type: ignore[override]
        self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, out: Any = None,
        dtype: Any = None, keepdims: bool = False,
    ) -> Any:  # fmt: skip
        """Of all elements, or along an axis."""
        return self._reduced("mean", dim, keepdim or keepdims, axis, out, dtype=dtype)

    def max(  # type: ignore[override]
        self, dim: int | None = None, keepdim: bool = False, *, axis: Any = None, out: Any = None,
        keepdims: bool = False,
    ) -> Any:  # fmt: skip
        """The largest; with `dim` values and their indices, as in torch."""
        values = self._reduced("max", dim, keepdim or keepdims, axis, out)
        return values if dim is None else ValuesAndIndices(values, self.argmax(dim, keepdim))

    def min(  # type: ignore[override]
        self, dim: int | None = None, keepdim: bool = False, *, axis: Any = None, out: Any = None,
        keepdims: bool = False,
    ) -> Any:  # fmt: skip
        """The smallest; with `dim` values and their indices, as in torch."""
        values = self._reduced("min", dim, keepdim or keepdims, axis, out)
        return values if dim is None else ValuesAndIndices(values, self.argmin(dim, keepdim))

    def _reduced(
        self, name: str, dim: Any, keepdims: bool, axis: Any, out: Any, **options: Any
    ) -> Any:
        axis = dim if axis is None else axis
        reduce = getattr(np.asarray(self), name)
        return as_array(reduce(axis=axis, out=out, keepdims=keepdims, **options))

    def topk(self, k: int, dim: int = -1, largest: bool = True) -> ValuesAndIndices:
        """The `k` largest along an axis, the largest first, and where they are."""
        array = np.asarray(self)
        if not 0 <= k <= array.shape[dim]:
            raise UnseenError(
                f"topk({k}) of {array.shape[dim]} elements: give a number from 0 to "
                f"{array.shape[dim]}."
            )
        order = np.argsort(-array if largest else array, axis=dim, kind="stable")
        indices = np.take(order, np.arange(k), axis=dim)
        values = np.take_along_axis(array, indices, axis=dim)
        return ValuesAndIndices(as_array(values), as_array(indices))


def as_array(value: Any) -> Array:
    """Anything numpy can hold as an `Array`, without a copy where that can be."""
    return np.asarray(value).view(Array)


def as_numpy(value: Any) -> NDArray[Any]:
    """A tensor of torch, an array or a list as a plain numpy array."""
    if hasattr(value, "detach") and not isinstance(value, np.ndarray):
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value  # numpy has none such
        return np.asarray(value.numpy())
    return np.asarray(value)


def is_tensor(value: Any) -> bool:
    """Whether this is a tensor of torch."""
    return hasattr(value, "detach") and not isinstance(value, np.ndarray)


def returned(value: NDArray[Any], kind: str | None) -> Any:
    """An array as `return_tensors` asks for it: "pt" is a real tensor where torch is installed."""
    if kind == PT and find_spec("torch") is not None:
        from unseen.runtimes.torch import tensor  # noqa: PLC0415 - seconds

        return tensor(np.ascontiguousarray(value))
    return as_array(value)


def like(value: NDArray[Any], given: Any) -> Any:
    """A result in the form, and on the device, of what the model was given."""
    return returned(value, PT).to(given.device) if is_tensor(given) else as_array(value)


def check_kind(kind: str | None) -> None:
    """UnseenError for a kind of tensors that is not made here."""
    if kind not in (PT, NP, None):
        raise UnseenError(
            f'return_tensors={kind!r} is not made here; choose "pt" (tensors where torch is '
            'installed, else arrays) or "np".'
        )
