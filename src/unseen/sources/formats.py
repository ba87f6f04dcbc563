"""The formats of files: which are pictures, how they are read, and what to do with the others.

One row a format. What is looked for in folders, globs and archives, what is said of a file that is
left out there, and the error of one that is named, all come from the table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import PurePath

VIDEO = "video"  # the kind of file whose frames are pictures: `sources.video`
PILLOW = "Pillow"  # it decodes the file
PREVIEW = "preview"  # the JPEG in a camera's file is decoded, as `images.raw` finds it
SNIFFED_BYTES = 1024  # of the start of a file


@dataclass(frozen=True)
class FileFormat:
    """A format.

    `kind`: what a file of it is called. `suffixes`: in lower case. `read`: how, or "" where it is
    not. `libraries`: one of them must be installed. `signature`: how its content begins. `advice`:
    what to do with it where it cannot be read. `hint`: the same in a few words, for a summary.
    """

    kind: str
    suffixes: tuple[str, ...]
    read: str = ""
    libraries: tuple[str, ...] = ()
    signature: bytes = b""
    advice: str = ""
    hint: str = ""

    @property
    def readable(self) -> bool:
        """Whether it can be read here."""
        return bool(self.read) and (
            not self.libraries or any(find_spec(library) for library in self.libraries)
        )


HEIF_LIBRARIES = ("pi_heif", "pillow_heif")
JXL_LIBRARIES = ("pillow_jxl",)
SAVE_AS = "save it as PNG or JPEG"
HEIF_BRANDS = rb"....ftyp(?:heic|heix|hevc|hevx|heim|heis|hevm|hevs|mif1|msf1)"

FORMATS = (
    FileFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), PILLOW),
    FileFormat("PNG", (".png", ".apng"), PILLOW),
    FileFormat("GIF", (".gif",), PILLOW),
    FileFormat("WebP", (".webp",), PILLOW),
    FileFormat("AVIF", (".avif",), PILLOW, signature=rb"....ftyp(?:avif|avis)",
               advice="this Pillow was built without AVIF: pip install -U pillow"),
    FileFormat("BMP", (".bmp", ".dib"), PILLOW),
    FileFormat("TIFF", (".tif", ".tiff"), PILLOW),
    FileFormat("PPM", (".pbm", ".pgm", ".ppm", ".pnm"), PILLOW),
    FileFormat("ICO", (".ico",), PILLOW),
    FileFormat("JPEG 2000", (".jp2", ".j2k", ".jpx"), PILLOW),
    FileFormat("HEIC", (".heic", ".heif", ".hif"), PILLOW, HEIF_LIBRARIES, HEIF_BRANDS,
               'to read it, pip install "unseen[heif]"', "pip install unseen[heif]"),
    FileFormat("JPEG XL", (".jxl",), PILLOW, JXL_LIBRARIES, rb"\xff\x0a|\0\0\0\x0cJXL ",
               f"to read it, pip install pillow-jxl-plugin; or {SAVE_AS}",
               "pip install pillow-jxl-plugin"),
    FileFormat("camera RAW",
               (".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc",
                ".mef", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf",
                ".srw", ".x3f"),
               PREVIEW,
               signature=rb"II\*\0....CR|....ftypcrx |FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\0|FOVb",
               advice=f"it has no preview to be read; develop it, or {SAVE_AS}"),
    FileFormat("SVG", (".svg", ".svgz"), signature=rb".{0,500}<svg[\s>]",
               advice="it is a drawing; draw it: rsvg-convert a.svg -o a.png"),
    FileFormat("PDF", (".pdf",), signature=rb"%PDF-",
               advice="give its path as a source of its own, for its pages: unseen classify a.pdf"),
    FileFormat("PostScript", (".eps", ".ps", ".ai"), signature=rb"%!PS|\xc5\xd0\xd3\xc6",
               advice="draw it: gs -sDEVICE=png16m -r150 -o a.png a.eps"),
    FileFormat(VIDEO,
               (".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg",
                ".mts", ".ogv", ".webm", ".wmv"),
               signature=rb"....ftyp(?:isom|iso\d|mp4\d|avc1|dash|M4V |qt  |3g..|f4v )"
               rb"|\x1aE\xdf\xa3|RIFF....AVI |FLV\x01|\0\0\x01\xba|0&\xb2u|....(?:moov|mdat)",
               advice='unseen video film.mp4 says what happens in it (pip install "unseen[video]")',
               hint="unseen video reads it"),
    FileFormat("Photoshop", (".psd", ".psb"), signature=rb"8BPS", advice=SAVE_AS),
    FileFormat("GIMP", (".xcf",), signature=rb"gimp xcf", advice=SAVE_AS),
    FileFormat("TGA", (".tga",), advice=SAVE_AS),
    FileFormat("PCX", (".pcx",), signature=rb"\n[\x00-\x05]\x01[\x01\x02\x04\x08]", advice=SAVE_AS),
    FileFormat("QOI", (".qoi",), signature=rb"qoif", advice=SAVE_AS),
    FileFormat("DDS", (".dds",), signature=rb"DDS ", advice=SAVE_AS),
    FileFormat("ICNS", (".icns",), signature=rb"icns", advice=SAVE_AS),
    FileFormat("Windows metafile", (".wmf", ".emf"), signature=rb"\xd7\xcd\xc6\x9a",
               advice=SAVE_AS),
    FileFormat("OpenEXR", (".exr",), signature=rb"v/1\x01", advice=f"map its tones, and {SAVE_AS}"),
    FileFormat("Radiance HDR", (".hdr",), signature=rb"#\?RADIANCE",
               advice=f"map its tones, and {SAVE_AS}"),
    FileFormat("DICOM", (".dcm", ".dicom"), signature=rb".{128}DICM",
               advice=f"{SAVE_AS}: dcmj2pnm a.dcm a.png"),
    FileFormat("FITS", (".fits", ".fit"), signature=rb"SIMPLE  =", advice=SAVE_AS),
    FileFormat("numpy array", (".npy", ".npz"), signature=rb"\x93NUMPY",
               advice="in Python, clf.classify takes an array"),
    FileFormat("zip archive", (".zip",), signature=rb"PK\x03\x04",
               advice="give its path as a source of its own: unseen classify photos.zip",
               hint="give it by its name"),
    FileFormat("tar archive", (".tar", ".tgz"), signature=rb".{257}ustar",
               advice="give its path as a source of its own: unseen classify photos.tar",
               hint="give it by its name"),
    FileFormat("table", (".parquet", ".arrow", ".feather"), signature=rb"PAR1|ARROW1",
               advice="give its path as a source of its own: unseen classify photos.parquet",
               hint="give it by its name"),
    FileFormat("archive", (".7z", ".bz2", ".gz", ".rar", ".xz"),
               signature=rb"7z\xbc\xaf\x27\x1c|Rar!|\x1f\x8b|BZh|\xfd7zXZ", advice="unpack it",
               hint="unpack it"),
    FileFormat("web page", (".htm", ".html"), signature=rb"(?i)\s*<(?:!doctype html|html)",
               advice="give the address of the picture itself"),
    FileFormat("Git LFS pointer", (), signature=rb"version https://git-lfs",
               advice="get the files: git lfs pull"),
)  # fmt: skip
OTHER, LINKED = "other", "linked folder"
WITH_LIBRARIES = tuple(row for row in FORMATS if row.libraries)

_BY_SUFFIX = {suffix: row for row in FORMATS for suffix in row.suffixes}


@cache
def suffixes() -> frozenset[str]:
    """The suffixes of the pictures that can be read here: what is looked for in a folder."""
    return frozenset(suffix for row in FORMATS if row.readable for suffix in row.suffixes)


def of_name(name: str | PurePath) -> FileFormat | None:
    """The format that a name says it is."""
    return _BY_SUFFIX.get(PurePath(name).suffix.lower())


def kind_of(name: str | PurePath) -> str:
    """What a file that is left out is called; "other" is a hidden one, or an unknown suffix."""
    row = of_name(name)
    hidden = PurePath(name).name.startswith(".")
    return OTHER if row is None or row.readable or hidden else row.kind


def of_content(head: bytes, rows: Iterable[FileFormat] = FORMATS) -> FileFormat | None:
    """The first of `rows` whose signature the first bytes of a file have.

    None for the usual formats, which Pillow knows by itself.
    """
    return next((row for row in rows if row.signature and _begins(head, row.signature)), None)


def _begins(head: bytes, signature: bytes) -> bool:
    return re.match(signature, head[:SNIFFED_BYTES], re.DOTALL) is not None


def advice(head: bytes, name: str) -> str:
    """What a file is that could not be decoded, and what to do with it; "" where nobody knows.

    What its content says comes first: a picture is often misnamed.
    """
    by_name = of_name(name)
    row = of_content(head) or (by_name if by_name is not None and not by_name.readable else None)
    return f"this is {_article(row.kind)}{row.kind}: {row.advice}" if row is not None else ""


def _article(kind: str) -> str:
    """For a kind that is a word and no name of a format."""
    if kind[0].isupper() or kind == "camera RAW":
        return ""
    return "an " if kind[0] in "aeiou" else "a "


def by_count(kinds: Counter[str]) -> dict[str, int]:
    """The kinds that there are, the most first; the others last."""
    return dict(sorted((+kinds).items(), key=lambda item: (item[0] == OTHER, -item[1], item[0])))


def counted(kinds: Mapping[str, int]) -> str:
    """Kinds of files and how many, for people; "" where there are none.

    >>> counted({"HEIC": 3, "other": 2})
    '3 HEIC (pip install unseen[heif]), 2 others'
    """
    hints = {row.kind: row.hint for row in FORMATS}
    return ", ".join(
        f"{count:,} {_plural(kind, count)}" + (f" ({hints[kind]})" if hints.get(kind) else "")
        for kind, count in kinds.items()
    )


def _plural(kind: str, count: int) -> str:
    """The words of the table take an s; names of formats do not."""
    return f"{kind}s" if count > 1 and kind[-1].islower() and kind[0].islower() else kind
