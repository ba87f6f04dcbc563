"""Names of files and labels as text that is safe to print, and as text that can be stored."""

from __future__ import annotations

import re
import reprlib

# A name is bytes. Those that are no UTF-8 are lone surrogates in Python (PEP 383: byte FF is
# U+DCFF), which neither SQLite nor a UTF-8 file can hold. There one is written as its escape,
# `\udcff`, and so is a backslash that stands before what could be taken for an escape: `\u005c`.
# JSON has the same escape of its own, so that a name looks alike in every file.
UNSTORABLE = re.compile(r"[\ud800-\udfff]|\\(?=u(?:005c|d[89a-f][0-9a-f]{2}))")
ITEMS, LEVELS = 10, 4  # of a value that is shown
ESCAPES = re.compile(r"\\u(005c|d[89a-f][0-9a-f]{2})")


def printable(text: str) -> str:
    """A name that cannot steer a terminal: control characters become escapes.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def shown(value: object, characters: int) -> str:
    """The start of any value of a file, for a message. An anchor of YAML can make a few lines a
    value whose whole repr has gigabytes.

    >>> shown(["cat", 1], 80), shown("a" * 100, 5)
    ("['cat', 1]", "'aaaa…")
    """
    brief = reprlib.Repr()
    brief.maxstring = brief.maxother = brief.maxlong = 2 * characters
    brief.maxlist = brief.maxtuple = brief.maxdict = brief.maxset = ITEMS
    brief.maxlevel = LEVELS
    try:
        text = repr(value[:characters]) if isinstance(value, str) else brief.repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits
        return f"a value of the type {type(value).__name__}"
    return text if len(text) <= characters else f"{text[:characters]}…"


def named(source: str, error: str) -> str:
    """An error that says which picture it is of, once."""
    source, error = printable(source), printable(error)
    return error if source in error else f"{source}: {error}"


def escaped(name: str) -> str:
    """A name as text that UTF-8 can hold; nearly every name is that already.

    >>> escaped("caf\\udce9.jpg")
    'caf\\\\udce9.jpg'
    """
    return UNSTORABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", name)


def unescaped(text: str) -> str:
    """The name that `escaped` was given: a path that can be opened."""
    return ESCAPES.sub(lambda match: chr(int(match[1], 16)), text)
