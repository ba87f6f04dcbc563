"""Type definitions for signatures: what the public functions take and give, each word once.

Nothing here is needed at run time, so importing it loads neither numpy nor Pillow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from unseen.labels.label_set import LabelSet
    from unseen.sources.item import Source

# Arrays. The shape stands where one is taken or given: (n, d) are n rows of d numbers.
Array: TypeAlias = "NDArray[Any]"
Floats: TypeAlias = "NDArray[np.float32]"  # embeddings, cosines, logits, probabilities
Doubles: TypeAlias = "NDArray[np.float64]"  # sums, and what is fitted
Reals: TypeAlias = "NDArray[np.floating[Any]]"  # of either width
Indices: TypeAlias = "NDArray[np.int64]"
Images: TypeAlias = "NDArray[np.uint8]"  # (height, width, 3), or what a network takes


class BinaryFile(Protocol):
    """Anything that gives bytes: an open file, a response, a member of an archive."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


# One image: a path, a URL, a data URI, base64, bytes, a binary file, a Pillow image, an array.
ImageLike: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | Image.Image"
    " | NDArray[Any]"
)

# Many: a folder, a glob, an archive, a batch of arrays, or any iterable of images and of these.
Sources: TypeAlias = "ImageLike | Source | Iterable[ImageLike | Source]"

# Facts about an item, as JSON holds them: frame, time, page, row, url, member, …
Scalar: TypeAlias = "str | int | float | bool | None"
Metadata: TypeAlias = "Mapping[str, Scalar]"

# What `LabelSet.of` takes.
LabelsLike: TypeAlias = "LabelSet | str | Path | Mapping[str, Any] | Iterable[str]"
TemplateLike: TypeAlias = "str | Sequence[str] | None"

# Called with how many are done, and how many there are.
Progress: TypeAlias = "Callable[[int, int], None]"

# Called with host, port and address before a URL is fetched; raises SourceError to refuse it.
AddressCheck: TypeAlias = "Callable[[str, int, str], None]"
