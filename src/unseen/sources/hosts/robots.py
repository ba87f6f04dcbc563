"""What a server says may be done with its pictures: the header X-Robots-Tag.

The directives are those that img2dataset heeds, the tool that most lists of addresses were fetched
with. $UNSEEN_ROBOTS=ignore is for pictures that one has the right to use anyway.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from unseen.errors import SourceError

VARIABLE, IGNORE = "UNSEEN_ROBOTS", "ignore"
REFUSALS = frozenset({"noai", "noimageai", "noindex", "noimageindex"})
AGENT = "unseen"  # what a directive for us alone begins with


def check(tags: Iterable[str]) -> None:
    """Refuse a picture that its server does not offer for such a use.

    Parameters
    ----------
    tags : iterable of str
        The values of the headers X-Robots-Tag of an answer.

    Raises
    ------
    SourceError
        If one of the directives is for everybody or for us, and $UNSEEN_ROBOTS is not ``ignore``.
    """
    refusal = next((word for tag in tags for word in _directives(tag) if word in REFUSALS), None)
    if refusal is None or os.environ.get(VARIABLE, "").strip().lower() == IGNORE:
        return
    raise SourceError(
        f"its server asks that it is not used like this (X-Robots-Tag: {refusal}); "
        f"{VARIABLE}={IGNORE} is for pictures that you have the right to use."
    )


def _directives(tag: str) -> Iterable[str]:
    """Of a value; none of one for another program, whose name it begins with."""
    agent, colon, rest = tag.partition(":")
    is_named = bool(colon) and "," not in agent
    if is_named and agent.strip().lower() not in (AGENT, "*"):
        return ()
    return (word.strip().lower() for word in (rest if is_named else tag).split(","))
