"""A picture of a labelling → a new JPEG; the bytes of the file itself are never sent."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from unseen.annotation.pictures import Picture
from unseen.errors import ImageError, UnseenError
from unseen.images.open import open_image, read_content
from unseen.pages import thumbnail
from unseen.sources.containers.container_file import resolve
from unseen.system.digest import sha256
from unseen.system.lru import ByteLRU

SIZES = {"small": 320, "page": 1600, "full": 6000}  # the longer side, in pixels, at most
CACHE_BYTES = 64 * 1024 * 1024


class ReviewImages:
    """JPEGs of the pictures below a folder, with a cache. Safe to use from several threads."""

    def __init__(self, root: Path, cache_bytes: int = CACHE_BYTES) -> None:
        self._root = root
        self._jpegs: ByteLRU[tuple[str, str], bytes] = ByteLRU(cache_bytes, len)

    def jpeg(self, picture: Picture, size: str) -> bytes:
        """The picture in one of SIZES. ImageError where its file is gone or cannot be opened."""
        key = picture.id, size
        jpeg = self._jpegs.get(key)
        if jpeg is None:
            side = SIZES[size]
            at_least = side // 2 if size == "small" else None
            jpeg = thumbnail(open_image(self.content(picture), at_least=at_least), side)
            self._jpegs.put(key, jpeg)
        return jpeg

    def content(self, picture: Picture) -> bytes:
        """The bytes that were labelled; a file of that name with other bytes is another picture."""
        for path in picture.paths:
            below = PurePosixPath(path)
            if below.is_absolute() or ".." in below.parts:
                continue
            try:
                content = read_content(resolve(path, self._root))
            except UnseenError:
                continue
            if content is not None and sha256([content]).hex().startswith(picture.id):
                return bytes(content)
        raise ImageError(
            f"{picture.paths[0]}: the file is gone, or has changed since it was labelled; run "
            "`unseen label` again."
        )
