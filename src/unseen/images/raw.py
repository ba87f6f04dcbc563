"""The picture inside a camera's RAW file: the largest JPEG that the camera put there.

A RAW file is what the sensor saw, and to develop it takes a library of its own and much time for
each picture. But every camera stores the picture that its display shows as well, mostly at full
size or at a quarter of it: more than any network takes. It is looked for by content alone, whatever
the maker: the markers of a JPEG are walked from its start to the header of its frame.

Of the containers little needs to be known: what tells a RAW file from a TIFF, and how the camera
was held. Sources: TIFF 6.0 and TIFF/EP (tags 274, 262, 330), DNG 1.7 (tag 50706, photometric 32803
and 34892), https://github.com/lclevy/canon_cr3 (CMT1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

# The first bytes of RAW files that are no TIFF, or call themselves another version of it.
CANON_2 = b"CR"  # of a TIFF, at byte 8
CANON_3 = b"ftypcrx "  # at byte 4
FUJI = b"FUJIFILMCCD-RAW"
SIGMA = b"FOVb"
BYTE_ORDERS = {b"II": "<", b"MM": ">"}
TIFF = {b"II*\0", b"MM\0*"}
TIFF_LIKE = {b"IIRO", b"IIRS", b"MMOR", b"IIU\0"}  # Olympus, Panasonic

ORIENTATION, PHOTOMETRIC, SUB_FOLDERS, DNG_VERSION = 274, 262, 330, 50706
SENSOR = {32803, 34892}  # photometric interpretations: a colour filter array, linear RAW
FOLDERS, ENTRIES = 32, 1024  # of one file, that are looked at

START = b"\xff\xd8\xff"
STARTS, SEGMENTS = 4096, 128  # that are looked at: of a file, and of one JPEG
FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive; 0xC3 is what the sensor saw
NO_FRAME_AFTER = {0xD8, 0xD9, 0xDA}  # SOI, EOI, SOS


@dataclass(frozen=True)
class Preview:
    """The JPEG in a file: where it starts, and how it is turned (EXIF orientation, 1 to 8)."""

    start: int
    orientation: int


def may_be(head: bytes) -> bool:
    """Whether the first bytes are those of a RAW file, or of a TIFF, which one may be."""
    return head[:4] in TIFF | TIFF_LIKE or head.startswith((FUJI, SIGMA)) or head[4:12] == CANON_3


def is_raw(content: bytes) -> bool:
    """Whether a file that may be one is one: a TIFF, by its tags."""
    if content[:4] not in TIFF or content[8:10] == CANON_2:
        return may_be(content)
    return any(
        DNG_VERSION in tags or SENSOR & {*tags.get(PHOTOMETRIC, ())} for tags in _folders(content)
    )


def preview(content: bytes) -> Preview | None:
    """The largest JPEG in a RAW file; None where it has none."""
    largest, start = 0, -1
    position = content.find(START)
    for _ in range(STARTS):
        if position < 0:
            break
        area = _frame_area(content, position)
        if area > largest:
            largest, start = area, position
        position = content.find(START, position + 1)
    return Preview(start, _orientation(content)) if start >= 0 else None


def _frame_area(content: bytes, start: int) -> int:
    """The pixels of the JPEG that starts here; 0 where none does that Pillow decodes."""
    position = start + 2
    for _ in range(SEGMENTS):
        if position + 10 > len(content) or content[position] != 0xFF:
            return 0
        marker = content[position + 1]
        (length,) = struct.unpack_from(">H", content, position + 2)
        if marker in FRAMES:
            bits, height, width, components = struct.unpack_from(">BHHB", content, position + 4)
            fits = bits == 8 and components in (1, 3) and length == 8 + 3 * components
            return width * height if fits else 0
        if marker in NO_FRAME_AFTER or length < 2:
            return 0
        position += 2 + length
    return 0


def _orientation(content: bytes) -> int:
    """How the camera was held: of the first folder of a TIFF, or of that in a CR3; else 1."""
    start = 0
    if content[4:12] == CANON_3:
        start = content[: 1 << 20].find(b"CMT1") + 4  # a box: its length, CMT1, a TIFF
        if start < 4:
            return 1
    tags: dict[int, tuple[int, ...]] = next(_folders(content[start:]), {})
    (orientation, *_) = tags.get(ORIENTATION, (1,))
    return orientation if 1 <= orientation <= 8 else 1


def _folders(content: bytes) -> Iterator[dict[int, tuple[int, ...]]]:
    """The tags of each folder (IFD) of a TIFF that hold whole numbers, the first ones first."""
    order = BYTE_ORDERS.get(content[:2])
    if order is None or len(content) < 8:
        return
    pending = [*struct.unpack_from(f"{order}I", content, 4)]
    for _ in range(FOLDERS):
        if not pending:
            return
        tags, after = _folder(content, order, pending.pop(0))
        yield tags
        pending += [*tags.get(SUB_FOLDERS, ())[:FOLDERS], *([after] if after else [])]


def _folder(content: bytes, order: str, start: int) -> tuple[dict[int, tuple[int, ...]], int]:
    """The tags of one folder, and where the next is; nothing where it leads out of the file."""
    tags: dict[int, tuple[int, ...]] = {}
    try:
        (count,) = struct.unpack_from(f"{order}H", content, start)
        for entry in range(min(count, ENTRIES)):
            at = start + 2 + 12 * entry
            tag, kind, values = struct.unpack_from(f"{order}HHI", content, at)
            if tag not in (ORIENTATION, PHOTOMETRIC, SUB_FOLDERS, DNG_VERSION):
                continue
            size, letter = {1: (1, "B"), 3: (2, "H"), 4: (4, "I"), 13: (4, "I")}[kind]
            values = min(values, FOLDERS)
            if size * values <= 4:
                place = at + 8
            else:
                (place,) = struct.unpack_from(f"{order}I", content, at + 8)
            tags[tag] = struct.unpack_from(f"{order}{values}{letter}", content, place)
        (after,) = struct.unpack_from(f"{order}I", content, start + 2 + 12 * count)
    except (struct.error, KeyError):
        return tags, 0
    return tags, after
