"""A multipart form that is in memory already → its texts and its files, without copies of these."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from unseen.web.problems import Problem

MAX_PARTS = 4096
# Of a form that cannot be read it would write a line of its own, beside that of the request.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


@dataclass
class _Part:
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    start: int = 0  # of its content, in the body
    end: int = 0


@dataclass
class Form:
    """The fields of a form in order."""

    texts: dict[str, list[str]] = field(default_factory=dict)  # by name
    files: list[tuple[str, memoryview]] = field(default_factory=list)  # file name, content


def read(content_type: str, body: bytearray) -> Form:
    """A form. Problem 400 for what is none, or has no end; 413 for too many parts.

    Parameters
    ----------
    content_type : str
        The header, which has the boundary and perhaps a charset.
    body : bytearray
        All of it; the files of the form are views of it.

    Returns
    -------
    Form
        Texts and files.
    """
    options = parse_options_header(content_type)[1]
    boundary = options.get(b"boundary")
    if not boundary:
        raise _unreadable("the content type has no boundary")
    # Also of those that divide nothing: the parser looks at each, for a minute in 64 MB of them.
    if body.count(b"\r\n--" + boundary) > MAX_PARTS:
        raise _too_many()
    parts, ended = _parts(boundary, body)
    if not ended:
        raise _unreadable("it has no closing boundary, so a part of it may be missing")
    form, view = Form(), memoryview(body)
    for part in parts:
        _put(
            form,
            part,
            view[part.start : part.end],
            options.get(b"charset", b"utf-8").decode("latin-1"),
        )
    return form


def _parts(boundary: bytes, body: bytearray) -> tuple[list[_Part], bool]:
    parts: list[_Part] = []
    header: list[bytes] = [b"", b""]
    ended = False

    def begin() -> None:
        if len(parts) == MAX_PARTS:
            raise _too_many()
        parts.append(_Part())

    def name(data: bytes, start: int, end: int) -> None:
        header[0] += data[start:end]

    def value(data: bytes, start: int, end: int) -> None:
        header[1] += data[start:end]

    def header_end() -> None:
        parts[-1].headers.append((header[0].lower(), header[1]))
        header[:] = b"", b""

    def content(data: bytes, start: int, end: int) -> None:
        parts[-1].start, parts[-1].end = start, end  # once a part: the parser has all of it

    def end() -> None:
        nonlocal ended
        ended = True

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin,
            "on_header_field": name,
            "on_header_value": value,
            "on_header_end": header_end,
            "on_part_data": content,
            "on_end": end,
        },
    )
    try:
        parser.write(body)  # type: ignore[arg-type]  # it takes any bytes
        parser.finalize()
    except FormParserError as error:
        raise _unreadable(str(error)) from None
    return parts, ended


def _put(form: Form, part: _Part, content: memoryview, charset: str) -> None:
    disposition, options = parse_options_header(dict(part.headers).get(b"content-disposition"))
    if disposition != b"form-data" or b"name" not in options:
        raise _unreadable("a part has no content-disposition with a name")
    try:
        if b"filename" in options:
            form.files.append((options[b"filename"].decode(charset, "replace"), content))
            return
        name = options[b"name"].decode(charset)
        form.texts.setdefault(name, []).append(bytes(content).decode(charset))
    except (UnicodeDecodeError, LookupError):
        raise _unreadable("a text of it is not UTF-8") from None


def _too_many() -> Problem:
    return Problem(413, f"the form has more than {MAX_PARTS:,} parts.", code="too_many")


def _unreadable(why: str) -> Problem:
    return Problem(400, f"the form cannot be read: {why}.", code="bad_form")
