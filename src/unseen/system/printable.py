"""Names of files and labels as text that is safe to print."""

from __future__ import annotations


def printable(text: str) -> str:
    """A name that cannot steer a terminal: control characters become escapes.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def named(source: str, error: str) -> str:
    """An error that says which picture it is of, once."""
    return printable(error if source in error else f"{source}: {error}")
