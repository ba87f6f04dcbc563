"""The mean of several tunings of one model: often better than each (Wortsman et al. 2022,
arXiv:2203.05482).

Tunings of one original lie in one valley of the loss, so that the mean of what each has changed is
a net as well. Greedy: the best first, then each other one that makes the mean no worse.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.classifier import Classifier
from unseen.encoder import Encoder
from unseen.errors import ModelError, SourceError
from unseen.learning.tune import card as cards
from unseen.learning.tune import model_folder
from unseen.learning.tune import network as networks
from unseen.learning.tune.figures import Share, in_chunks
from unseen.learning.tune.material import annotated
from unseen.learning.tune.pictures import decode
from unseen.load_options import LoadOptions
from unseen.models.checkpoint import TAUGHT
from unseen.models.conversion.checkpoint_folder import check_is_free
from unseen.models.weights.changes import Changes
from unseen.results.manifest import versions

if TYPE_CHECKING:
    from unseen.datasets.readers import Labelled

Judge = Callable[[Changes], Share]


@dataclass(frozen=True)
class Soup:
    """What a mean is made of.

    Parameters
    ----------
    folder : Path
        The model.
    chosen : tuple of str
        The tuned folders that it is the mean of.
    alone : dict of str to Share
        How many validation pictures each folder is right about; empty without such pictures.
    together : Share, optional
        The same of the mean.
    """

    folder: Path
    chosen: tuple[str, ...]
    alone: dict[str, Share]
    together: Share | None


def soup(
    folders: Sequence[str | Path],
    output: str | Path,
    validation: Labelled | None = None,
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Soup:
    """Write the mean of several tunings of one model.

    Parameters
    ----------
    folders : sequence of str or Path
        What `unseen tune` has written: two or more, of one original.
    output : str or Path
        The folder to write. It must not be there, or be empty.
    validation : Labelled, optional
        Labelled pictures that choose which of them the mean is of. None: all.
    device : str
        Where the nets are tried.
    progress : callable, optional
        Called with how many pictures are read, and of how many.

    Returns
    -------
    Soup

    Raises
    ------
    ModelError
        A folder was not tuned, or of another original, or that original is not here any more.
    SourceError, LabelError
        The validation pictures cannot be used.
    """
    names = [str(folder) for folder in folders]
    if len(names) < 2 or len(set(names)) < len(names):
        raise ModelError("give two different folders or more that `unseen tune` has written.")
    target = Path(output).expanduser()
    check_is_free(target)
    cards_of = {name: model_folder.read_card(name) for name in names}
    bases = {name: card["base"] for name, card in cards_of.items()}
    first = bases[names[0]]
    for name, base in bases.items():
        if base["fingerprint"] != first["fingerprint"]:
            raise ModelError(
                f"{name} is a tuning of {base['model']} ({base['fingerprint'][:12]}), and "
                f"{names[0]} one of {first['model']} ({first['fingerprint'][:12]}); a mean is of "
                "tunings of one original."
            )
    options = LoadOptions(first["model"], first["revision"], device=device)
    classifier = Classifier(Encoder.load(options))
    if classifier.model.fingerprint != first["fingerprint"]:
        raise ModelError(f"{first['model']} is no longer the original of {names[0]}.")
    changes = {name: model_folder.read_changes(name) for name in names}
    chosen, together = tuple(names), None
    alone: dict[str, Share] = {}
    if validation is not None:
        networks.require_torch()
        with tempfile.TemporaryDirectory(prefix="unseen-") as place:
            judge = _judge(classifier, validation, Path(place), progress)
            chosen, alone, together = greedy(changes, judge)
    whole = mean([changes[name] for name in chosen])
    facts: dict[str, Any] = {
        "base": cards.base_facts(classifier.model),
        "soup": [Path(name).name for name in chosen],
        "right": None if together is None else together.to_dict(),
        "versions": versions(),
    }
    page = cards.soup_page(facts, target.name)
    taught = [digest for name in chosen for digest in cards_of[name].get(TAUGHT, [])]
    model_folder.write(classifier.model, target, whole, facts, page, taught=taught)
    return Soup(target, chosen, alone, together)


def greedy(
    changes: dict[str, Changes], judge: Judge
) -> tuple[tuple[str, ...], dict[str, Share], Share]:
    """Which the mean is of, how good each is alone, and how good the mean is."""
    alone = {name: judge(change) for name, change in changes.items()}
    order = sorted(alone, key=lambda name: -alone[name].right)
    chosen, best = [order[0]], alone[order[0]]
    for name in order[1:]:
        together = judge(mean([changes[n] for n in (*chosen, name)]))
        if together.right >= best.right:
            chosen, best = [*chosen, name], together
    return tuple(chosen), alone, best


def mean(changes: Sequence[Changes]) -> Changes:
    """The mean of each weight's changes; one that is not there has changed nothing."""
    names = dict.fromkeys(name for one in changes for name in one)
    return {
        name: np.asarray(
            sum(one[name] for one in changes if name in one) / np.float32(len(changes)),
            dtype=np.float32,
        )
        for name in names
    }


def _judge(
    classifier: Classifier,
    validation: Labelled,
    folder: Path,
    progress: Callable[[int, int], None] | None,
) -> Judge:
    """How many of the validation pictures a net is right about that has some changes."""
    data = annotated(classifier, validation, None)
    network, device = (
        classifier.model.image_network(),
        networks.torch_device(classifier.options.device),
    )
    shape = tuple(int(size or 0) for size in network.inputs[0].shape[1:])
    pictures = decode(classifier.encoder, data.sources, folder / "pictures.npy", shape, progress)
    rows = pictures.readable
    if not len(rows):
        raise SourceError("none of the validation pictures could be read.")

    def judge(changes: Changes) -> Share:
        embed = networks.embedder(classifier.model, changes, 1.0, device)
        answers = (in_chunks(embed, pictures.pixels, rows) @ data.texts.T).argmax(1)
        right = sum(
            int(answer) in data.label_ids[row] for row, answer in zip(rows, answers, strict=True)
        )
        return Share(right, len(rows))

    return judge
