"""Which pictures a model, an adapter or a calibration has learnt from: how good it is on those says
nothing.

A picture is known by its content, the first 16 bytes of the SHA-256 of its file, as in an index.
"""

from __future__ import annotations

from unseen.models.model import Model
from unseen.prediction.adapter import Adapter
from unseen.prediction.calibration import Calibration

EXAMPLES = "example_digests"  # the key in the facts of an adapter, and in the card of a model


def example_digests(
    model: Model, adapter: Adapter | None = None, calibration: Calibration | None = None
) -> frozenset[str]:
    """The pictures that these have learnt from, as far as they say.

    Parameters
    ----------
    model : Model
        One of `unseen distil` or `unseen tune` says it; others do not.
    adapter : Adapter, optional
        What `unseen adapt` made says it.
    calibration : Calibration, optional
        What `unseen calibrate` made says it.

    Returns
    -------
    frozenset of str
        Digests in hex.

    Examples
    --------
    >>> import unseen
    >>> from unseen.prediction.seen import example_digests
    >>> example_digests(unseen.load().model)
    frozenset()
    """
    # An adapter that is zero-shot has no row: nothing of its examples is in its answers.
    taught = {} if adapter is None or not len(adapter.rows) else adapter.facts
    facts = [model.card, taught]
    lists = [one.get(EXAMPLES) for one in facts]
    lists.append([] if calibration is None else list(calibration.example_digests))
    return frozenset(digest for one in lists if isinstance(one, list) for digest in map(str, one))
