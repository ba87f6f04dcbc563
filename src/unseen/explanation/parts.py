"""The rows of a picture: what each of its places adds to its embedding, whatever the label.

The network never sees a label, so one forward pass answers every label by a dot product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from PIL import Image

from unseen.encoder import Encoder
from unseen.errors import ModelError, UnseenError, without_frames
from unseen.explanation.geometry import Geometry
from unseen.explanation.linearised import HEADS, is_exact
from unseen.images.open import open_image, read_content, upright_size
from unseen.models.compiled import CompiledNetwork
from unseen.models.inputs import PictureArrays
from unseen.models.reference_outputs import tower
from unseen.models.towers import ARCHITECTURES
from unseen.networks.network import Parameters
from unseen.networks.operations import Array
from unseen.types import Floats, ImageLike

# Image nets without places, and why.
WHY_NOT = {
    "naflex": "Its pictures keep their shape (NaFlex), so the places of two are not the same; "
    "a SigLIP 2 of one size can be explained.",
}
SHOWN_SIDE = 1024  # pixels of the longer side of a picture on which a map is drawn
DRAFT_TOLERANCE = 0.05  # of the sides' ratios: a JPEG decoded at an eighth is rounded up


@dataclass(frozen=True, eq=False)
class PictureParts:
    """What each place of a picture adds to its embedding.

    Parameters
    ----------
    rows : float32 array (cells, d)
        Of each cell of `geometry`; together with what no place gave they make the embedding.
    embedding : float32 array (d,)
        Of length 1: what the image net gives.
    geometry : Geometry
        Where the cells lie.
    exact : bool
        Whether the rows are exact; else they are the first order of an embedding that is no sum.
    """

    rows: Floats
    embedding: Floats
    geometry: Geometry
    exact: bool

    def scores(self, directions: Floats) -> Floats:
        """What each place says for labels, or for the difference of two.

        Parameters
        ----------
        directions : float32 array (k, d)
            Vectors of labels, of any length.

        Returns
        -------
        float32 array (k, cells)
            Parts of the products of the embedding with each direction.
        """
        return np.asarray(np.atleast_2d(directions) @ self.rows.T, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class OpenedPicture:
    """A picture that was read.

    Parameters
    ----------
    pixels : ndarray or tuple of ndarray
        As the image net takes it.
    geometry : Geometry
        Where the cells of the net lie in the original.
    image : PIL.Image.Image
        Upright RGB, at most 1,024 pixels a side, to draw on.
    """

    pixels: PictureArrays
    geometry: Geometry
    image: Image.Image


class PartsEncoder:
    """Pictures → their rows, for the image net of an encoder. Compiles nothing until it must.

    Parameters
    ----------
    encoder : Encoder
        Whose image net is explained.

    Raises
    ------
    ModelError
        If its image net does not fall into places.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._spec = encoder.model.image_tower
        architecture = ARCHITECTURES[self._spec.kind]
        if architecture.parts is None or architecture.grid is None or self._spec.kind not in HEADS:
            why = " " + WHY_NOT[self._spec.kind] if self._spec.kind in WHY_NOT else ""
            raise ModelError(
                f"{encoder.model.name}: the image net of the family {encoder.model.family} cannot "
                f"be explained by place.{why}"
            )
        self._grid = architecture.grid
        self._network = compiled(encoder, "parts")

    @property
    def exact(self) -> bool:
        """Whether the rows are exact; else first order."""
        return is_exact(self._spec.kind, self._parameters)

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the places of one view."""
        return self._grid(self._spec.config, self._parameters)

    @cached_property
    def _parameters(self) -> Parameters:
        return _Read(self.encoder.model.parts_network().parameters)

    def open(self, source: ImageLike) -> OpenedPicture | UnseenError:
        """Read a picture.

        Parameters
        ----------
        source : ImageLike
            What `open_image` takes.

        Returns
        -------
        OpenedPicture or UnseenError
            Or why it cannot be read.
        """
        encoder = self.encoder
        preprocess = encoder.model.preprocess
        at_least = None if encoder.exact else preprocess.target
        try:
            content = read_content(source, limits=encoder.limits)
            image = open_image(source, limits=encoder.limits, at_least=at_least, content=content)
            size = image.size if content is None else upright_size(content, encoder.limits)
            geometry = self.geometry(image.size, size)
            pixels = preprocess(image)
        except UnseenError as error:
            return without_frames(error)
        image.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.BICUBIC)
        return OpenedPicture(pixels, geometry, image)

    def geometry(
        self, decoded: tuple[int, int], original: tuple[int, int] | None = None
    ) -> Geometry:
        """Where the cells of a picture lie.

        Parameters
        ----------
        decoded : (int, int)
            Width and height of the picture as it is given to the preprocessing.
        original : (int, int), optional
            Those of the original, where it was decoded at a fraction of its size.

        Returns
        -------
        Geometry
        """
        size = decoded if original is None or not _alike(decoded, original) else original
        across, down = size[0] / decoded[0], size[1] / decoded[1]
        height, width = self._covered
        boxes = []
        for left, top, right, bottom in self.encoder.model.preprocess.boxes(decoded):
            right, bottom = left + (right - left) * width, top + (bottom - top) * height
            boxes.append((left * across, top * down, right * across, bottom * down))
        return Geometry(size, tuple(boxes), self.grid)

    @cached_property
    def _covered(self) -> tuple[float, float]:
        """The share of a view's height and width that the cells cover: patches leave a rest where
        they do not divide a side."""
        patch = getattr(self._spec.config, "patch", None)
        if patch is None:
            return 1.0, 1.0
        height, width = self._spec.config.image_size
        return self.grid[0] * patch / height, self.grid[1] * patch / width

    def parts(self, pictures: Sequence[OpenedPicture]) -> list[PictureParts]:
        """The rows of pictures, in one batch.

        Parameters
        ----------
        pictures : sequence of OpenedPicture
            What `open` gave.

        Returns
        -------
        list of PictureParts
        """
        if not pictures:
            return []
        inputs = self.encoder.model.image_inputs([picture.pixels for picture in pictures])
        head = HEADS[self._spec.kind]
        return [
            PictureParts(
                *head(self._spec.config, self._parameters, output), picture.geometry, self.exact
            )
            for picture, output in zip(pictures, self._network(*inputs), strict=True)
        ]


def compiled(encoder: Encoder, name: str) -> CompiledNetwork:
    """A network of a model that explains, in fp32, or in fp16 where the encoder is.

    int8 and auto are explained through fp32: their rows would carry the error of every layer.
    """
    precision = "fp16" if encoder.options.precision == "fp16" else "fp32"
    return CompiledNetwork(
        tower(encoder.model, name),
        find_target=lambda: encoder.target,
        options=replace(encoder.options, precision=precision),
        outputs=("parts",) if name == "parts" else ("embedding",),
    )


def _alike(decoded: tuple[int, int], original: tuple[int, int]) -> bool:
    """Whether one is the other at a fraction of its size: a header can say anything."""
    across, down = original[0] / decoded[0], original[1] / decoded[1]
    slack = 1 / min(decoded) + DRAFT_TOLERANCE
    return across >= 1 - slack and down >= 1 - slack and abs(across / down - 1) <= slack


class _Read(Mapping[str, Array]):
    """Parameters, each read and converted once."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._arrays: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._arrays:
            self._arrays[name] = np.asarray(self._parameters[name])
        return self._arrays[name]

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)
