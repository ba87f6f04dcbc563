"""HTML, CSS, JS and data → one file that asks nothing of anybody.

Data is hostile: it stands in the page as JSON in which no `<` is left, and the page's policy (CSP)
lets run the one script, and apply the one style, whose hashes are computed here.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

from unseen.system.cache import replacing
from unseen.system.packaged import packaged

PLACE = re.compile(rb"\{\{(\w+)\}\}")
POLICY = (
    "default-src 'none'; img-src data: file:;{media} style-src {style}; script-src {script}; "
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
MEDIA = " media-src 'self' file:;"  # of a page that plays the file it lies beside
FORMATS = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"RIFF": "webp"}
SCHEMES = ("", "file", "http", "https")
ODD = re.compile(r"[\x00-\x20\x7f\\]")  # browsers drop some of these, and read \ as /


def write_page(
    path: Path,
    kind: str,
    title: str,
    data: Iterable[tuple[str, Any]],
    *,
    media: bool = False,
) -> None:
    """base.html with `kind`.html, its style, its script and `data` (element id, value) in it.

    `media`: whether it plays a video or a sound.

    `data` is written as it comes, so that pictures need not be held all at once. Whatever is raised
    on the way leaves the file that was at `path`.
    """
    style = _part("palette.css") + _part("base.css") + _part(f"{kind}.css")
    script = _part("base.js") + _part(f"{kind}.js")
    policy = POLICY.format(style=_hash(style), script=_hash(script), media=MEDIA if media else "")
    texts = {
        b"policy": policy.encode(),
        b"title": html.escape(title).encode("utf-8", "replace"),
        b"style": style,
        b"body": _part(f"{kind}.html"),
        b"script": script,
    }
    with replacing(path) as temporary, temporary.open("wb") as file:
        for i, piece in enumerate(PLACE.split(_part("base.html"))):
            if i % 2 == 0:
                file.write(piece)
            elif piece == b"data":
                _write_data(file, data)
            else:
                file.write(texts[piece])


def _write_data(file: IO[bytes], data: Iterable[tuple[str, Any]]) -> None:
    for key, value in data:
        file.write(b'<script type="application/json" id="%s">' % key.encode())
        file.write(embedded(value))
        file.write(b"</script>\n")


def _part(name: str) -> bytes:
    """A file of this package, with the line ends that a browser hashes."""
    return packaged(f"pages/{name}").read_text("utf-8").encode()


def _hash(content: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"


def embedded(value: Any) -> bytes:
    """JSON that no HTML parser sees an end, a comment or an entity in.

    >>> embedded("</script><!-- é")
    b'"\\\\u003c/script\\\\u003e\\\\u003c!-- \\\\u00e9"'
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode("ascii")


def finite(number: float | None) -> float | None:
    """A number that JSON has: NaN and the infinities are None."""
    return float(number) if number is not None and math.isfinite(number) else None


def format_of(thumbnail: bytes) -> str:
    """jpeg, png or webp; ValueError for anything else."""
    for start, name in FORMATS.items():
        if thumbnail.startswith(start):
            return name
    raise ValueError("a thumbnail is a JPEG, a PNG or a WebP; pages.thumbnail makes one.")


def data_uri(picture: bytes) -> str:
    """The picture, as an address."""
    return f"data:image/{format_of(picture)};base64,{base64.b64encode(picture).decode('ascii')}"


def checked(href: str | None) -> str | None:
    """`href`, when a page may link to it: a relative, file:, http: or https: address.

    ValueError for one that would run as a script, or reach another machine in the name of a file.
    """
    if href is None:
        return None
    parts = urlsplit(href)
    elsewhere = parts.netloc not in ("", "localhost") and parts.scheme in ("", "file")
    if ODD.search(href) or elsewhere or parts.scheme not in SCHEMES:
        raise ValueError(f"{href!r} is no link to a file; pages.link makes one of a path.")
    return href


def link(file: Path, page: Path) -> str:
    """The address of `file` in a page at `page`: relative, so that both can be moved together.

    >>> link(Path("photos/a cat #1.jpg"), Path("out/page.html"))
    '../photos/a%20cat%20%231.jpg'
    """
    file, folder = file.absolute(), page.absolute().parent
    if file.drive != folder.drive:
        return file.as_uri()
    relative = Path(os.path.relpath(file, folder)).as_posix()
    return quote(os.fsencode(relative))
