"""`load_image`, which the documentation of transformers opens pictures with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unseen.images.open import open_image

if TYPE_CHECKING:
    from PIL import Image

    from unseen.types import ImageLike


def load_image(image: ImageLike) -> Image.Image:
    """A path, a URL or a Pillow image → an upright RGB image.

    Parameters
    ----------
    image : ImageLike
        What `unseen.open_image` takes.

    Returns
    -------
    PIL.Image.Image
    """
    return open_image(image)
