"""`Batch`: arrays by name, as a processor gives them and a model takes them."""

from __future__ import annotations

from typing import Any

from unseen.transformers.arrays import is_tensor


class Batch(dict[str, Any]):
    """A dict whose values are attributes too: transformers' BatchEncoding and BatchFeature."""

    def __getattr__(self, name: str) -> Any:
        """The value of that name."""
        try:
            return self[name]
        except KeyError:
            has = ", ".join(self)
            raise AttributeError(f"{name!r} is not in this batch; it has {has}.") from None

    def to(self, device: Any = None, dtype: Any = None) -> Batch:
        """Tensors of torch moved, or floats among them cast; arrays stay where they are."""
        for name, value in self.items():
            if is_tensor(value):
                self[name] = _moved(value, device, dtype)
        return self


def _moved(value: Any, device: Any, dtype: Any) -> Any:
    if device is not None and str(device).startswith("torch."):  # a dtype in the place of a device
        device, dtype = None, device
    if dtype is not None and value.is_floating_point():
        value = value.to(dtype)
    return value if device is None else value.to(device)
