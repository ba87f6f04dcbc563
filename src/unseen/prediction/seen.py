"""Which pictures a model or an adapter has learnt from: how good it is on those says nothing.

A picture is known by its content, the first 16 bytes of the SHA-256 of its file, as in an index.
"""

from __future__ import annotations

from collections.abc import Sequence

from unseen.models.model import Model
from unseen.prediction.adapter import Adapter

EXAMPLES = "example_digests"  # the key in the facts of an adapter, and in the card of a model


def example_digests(model: Model, adapter: Adapter | None = None) -> frozenset[str]:
    """The pictures that a model and its adapter have learnt from, as far as they say.

    Parameters
    ----------
    model : Model
        One of `unseen distil` says it; others do not.
    adapter : Adapter, optional
        What `unseen adapt` made says it.

    Returns
    -------
    frozenset of str
        Digests in hex.
    """
    facts = [model.card, {} if adapter is None else adapter.facts]
    lists = [one.get(EXAMPLES) for one in facts]
    return frozenset(digest for one in lists if isinstance(one, list) for digest in map(str, one))


def seen(digests: Sequence[str], model: Model, adapter: Adapter | None = None) -> list[bool]:
    """Which pictures a model, or its adapter, has learnt from.

    Parameters
    ----------
    digests : sequence of str
        Of n pictures, in hex.
    model : Model
        The model.
    adapter : Adapter, optional
        Its adapter.

    Returns
    -------
    list of bool
        One for each picture.

    Examples
    --------
    >>> import unseen
    >>> seen(["00" * 16], unseen.load().model)
    [False]
    """
    known = example_digests(model, adapter)
    return [digest in known for digest in digests]
