"""A training set → one ONNX file that tells its labels apart, and its card."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.classifier import Classifier
from unseen.encoder import Encoder
from unseen.errors import LabelError, UnseenError
from unseen.index.encoding import StageProgress
from unseen.learning.distil import features, heads, latency, training
from unseen.learning.distil import model_card as cards
from unseen.learning.distil.model_card import Teacher
from unseen.learning.distil.training import Choice, Teaching, TrainingData
from unseen.learning.distil.training_set import TrainingPicture, TrainingSet
from unseen.models.families import distilled
from unseen.models.families.distilled import Student
from unseen.models.model import SMALL_BATCH
from unseen.prediction.seen import EXAMPLES
from unseen.results.manifest import now, versions
from unseen.runtimes import onnx_file
from unseen.system.cache import write_atomically
from unseen.system.digest import file_chunks, sha256
from unseen.types import Floats

if TYPE_CHECKING:
    from unseen.datasets.readers import Labelled


SIDE = 224  # as right as the 260 that the image net was trained with, and quicker
LARGEST = 25_000_000  # bytes of a file
HEADROOM = 1.25  # of the radius over the longest logits that were met
IMAGE_NET = "EfficientNet-Lite2 (Apache-2.0), trained on ImageNet"


@dataclass(frozen=True)
class DistilOptions:
    """How a small classifier is made.

    Parameters
    ----------
    side : int
        Of the pictures, in pixels; fewer are quicker.
    head : str
        ``linear``, ``mlp``, or ``auto``: what is better on pictures held out.
    teaching : Teaching
        How labels and probabilities become targets.
    seed : int
        Of what is held out.
    threads : int, optional
        Of the image net; all by default.
    batch_size : int, optional
        Pictures that the image net takes at once.
    date : str, optional
        What the card has as its date; now by default.
    multi_label : bool
        Whether a picture may have several labels, where a training set does not say so itself: each
        is then a yes or no of its own, and takes no probability from the others.

    Raises
    ------
    LabelError
        The head or the side is not possible.
    """

    side: int = SIDE
    head: str = "auto"
    teaching: Teaching = field(default_factory=Teaching)
    seed: int = 0
    threads: int | None = None
    batch_size: int | None = None
    date: str | None = None
    multi_label: bool = False

    def __post_init__(self) -> None:
        if self.head not in training.HEADS:
            choices = ", ".join(training.HEADS)
            raise LabelError(f"unknown head {self.head!r}; choose one of: {choices}.")
        low, high = distilled.SIDES
        if not low <= self.side <= high:
            raise LabelError(
                f"the side of pictures is {self.side} pixels; it must be from {low} to {high}."
            )


DEFAULT_OPTIONS = DistilOptions()


@dataclass(frozen=True)
class Distilled:
    """A small classifier, as `unseen.distil` makes it.

    Parameters
    ----------
    content : bytes
        The ONNX file.
    card : dict
        What it learnt from, how good it is, and under which licence its teacher stands.
    failed : list of (Any, UnseenError)
        Pictures that could not be read, and why.
    """

    content: bytes
    card: dict[str, Any]
    failed: list[tuple[Any, UnseenError]] = field(default_factory=list)

    def __repr__(self) -> str:
        labels = len(self.card["labels"])
        return f"Distilled({labels} labels, {len(self.content) / 1e6:.1f} MB)"

    def save(self, path: str | Path) -> None:
        """Write the classifier to an .onnx file, and its card as .card.md beside it.

        Parameters
        ----------
        path : str or Path
            The .onnx file. Both files are replaced, each whole or not at all.

        Raises
        ------
        OSError
            One of them cannot be written.
        """
        file = Path(path)
        write_atomically(file, self.content)
        page = cards.markdown(self.card, file.name)
        write_atomically(card_path(file), page.encode())


def card_path(file: Path) -> Path:
    """Where the card of a classifier lies.

    >>> card_path(Path("birds.onnx")).name
    'birds.card.md'
    """
    return file.with_name(f"{file.stem}.card.md")


def distil(
    teacher: Teacher | Classifier,
    training_set: TrainingSet | Labelled,
    options: DistilOptions = DEFAULT_OPTIONS,
    *,
    measure: Encoder | None = None,
    progress: StageProgress | None = None,
) -> Distilled:
    """Make a small classifier of the labels that have pictures.

    Parameters
    ----------
    teacher : Classifier or Teacher
        Whose answers are learnt; a `Teacher` where these are in the training set, and only its name
        and licence are needed.
    training_set : TrainingSet, str, Path, or iterable
        Pictures and their labels, or what `TrainingSet.read` takes; then a `Classifier` gives its
        probabilities to the pictures as well.
    options : DistilOptions
        The size of the pictures, the head, and so on.
    measure : Encoder, optional
        Of the teacher, to measure the latency of both.
    progress : callable, optional
        Called with ``"pictures"`` or ``"folds"``, how many are done, and of how many.

    Returns
    -------
    Distilled
        The file and its card. The same arguments give the same bytes, but for the date and the
        latency.

    Raises
    ------
    LabelError
        Fewer than two labels have pictures, or more than fit into the file.

    Examples
    --------
    >>> import unseen
    >>> from pathlib import Path
    >>> from unseen.learning.distil.model_card import Teacher
    >>> folder = Path("tests/photographs")
    >>> pairs = [(p, n) for n in ("cat", "fish") for p in sorted((folder / n).iterdir())]
    >>> unseen.distil(Teacher("me"), pairs, unseen.DistilOptions(side=128))
    Distilled(2 labels, 10.6 MB)
    """
    if not isinstance(training_set, TrainingSet):
        training_set = TrainingSet.read(
            training_set,
            teacher=teacher if isinstance(teacher, Classifier) else None,
            multi_label=options.multi_label,
            progress=progress,
        )
    if isinstance(teacher, Classifier):
        model = teacher.model
        teacher = Teacher.of(model.name, model.revision, model.fingerprint)
    names, pictures = training_set.names, training_set.pictures
    net = features.ImageNet.builtin()
    _taught_label_ids(pictures, names)  # an error now, before pictures are read
    rows, errors = _features(net, pictures, options, progress)
    readable = [row for row, error in enumerate(errors) if error is None]
    failed = [(pictures[row].source, e) for row, e in enumerate(errors) if e is not None]
    pictures = [pictures[row] for row in readable]
    taught = _taught_label_ids(pictures, names)
    data = training_data(
        pictures, rows[readable], taught, options.teaching, multi_label=training_set.multi_label
    )
    trial_progress = None if progress is None else partial(progress, "folds")
    choice = training.choose(data, options.head, seed=options.seed)
    trial = training.tried(data, options.head, seed=options.seed, progress=trial_progress)
    fitted = training.fit(data, choice, seed=options.seed)
    longest = float(np.linalg.norm(heads.logits(fitted, data.features), axis=1).max())
    own_names = tuple(names[label_id] for label_id in taught)
    facts: dict[str, Any] = {
        "made": options.date or now(),
        "teacher": cards.teacher_facts(teacher),
        "image_net": IMAGE_NET,
        "side": options.side,
        "head": _head(choice, options.teaching),
        "seed": options.seed,
        "versions": versions(),
        "figures": cards.figures(
            data,
            trial,
            np.array([p.audited for p in pictures]),
            np.array([p.seen for p in pictures]),
        ),
        "labels": cards.counts(own_names, data),
        "untaught": [name for label_id, name in enumerate(names) if label_id not in taught],
        "pictures": {
            "reviewed": int(data.reviewed.sum()),
            "proposed": int((~data.reviewed).sum()),
            "left_out": {**training_set.left_out, "could not be read": len(failed)},
            "learnt": training_set.learnt,
        },
        "latency": None,
        EXAMPLES: [digest for p in pictures if (digest := _digest(p)) is not None],
    }
    small = Student(
        own_names,
        tuple(name for name in training_set.background if name in own_names),
        options.side,
        math.ceil(10 * max(HEADROOM * longest, 1.0)) / 10,
        facts,
        data.rule,
    )
    parameters = _parameters(net, fitted)
    content = distilled.to_bytes(small, parameters)
    if len(content) > LARGEST:
        raise LabelError(
            f"{len(own_names)} labels make a file of {len(content) / 1e6:.0f} MB, and "
            f"{LARGEST / 1e6:.0f} are allowed: take fewer labels."
        )
    if measure is not None:
        sources = [picture.source for picture in training_set.pictures]
        facts["latency"] = _latency(content, small, measure, sources, options.threads)
        content = distilled.to_bytes(replace(small, card=facts), parameters)
    return Distilled(content, facts | {"bytes": len(content)}, failed)


def _digest(picture: TrainingPicture) -> str | None:
    """What the picture is known by later; None of one in memory that is no file."""
    if picture.digest is not None:
        return picture.digest
    source = picture.source
    if isinstance(source, bytes):
        return sha256([source]).hex()[:32]
    if not isinstance(source, (str, Path)) or not Path(source).is_file():
        return None
    return sha256(file_chunks(Path(source))).hex()[:32]


def _features(
    net: features.ImageNet,
    pictures: Sequence[TrainingPicture],
    options: DistilOptions,
    progress: StageProgress | None,
) -> tuple[Floats, list[UnseenError | None]]:
    """What the image net sees of each picture, and why it could not be read."""
    done = count(1)

    def each(_: UnseenError | None) -> None:
        if progress is not None:
            progress("pictures", next(done), len(pictures))

    return features.features(
        net,
        options.side,
        [picture.source for picture in pictures],
        threads=options.threads,
        batch_size=options.batch_size or SMALL_BATCH,
        each=each,
    )


def _taught_label_ids(pictures: Sequence[TrainingPicture], names: Sequence[str]) -> list[int]:
    """The labels that have pictures. LabelError for fewer than two."""
    label_ids: set[int] = set()
    for picture in pictures:
        if picture.label_id is not None:
            label_ids.update(picture.label_ids)
        elif picture.probabilities is not None:
            label_ids.add(int(picture.probabilities.argmax()))
        else:
            raise LabelError(
                f"{picture.source}: it has neither a label nor probabilities of a teacher."
            )
    if len(label_ids) < 2:
        only = f"all are of {names[next(iter(label_ids))]!r}" if label_ids else "there are none"
        raise LabelError(
            f"a classifier tells at least two labels apart, and of the pictures to learn from "
            f"{only}: review some, or include those that the teacher was unsure of."
        )
    return sorted(label_ids)


def training_data(
    pictures: Sequence[TrainingPicture],
    rows: Floats,
    taught: list[int],
    teaching: Teaching,
    *,
    multi_label: bool = False,
) -> TrainingData:
    """The pictures as arrays, of the labels that are taught alone."""
    nothing = np.zeros(len(taught), dtype=np.float32)
    teacher = np.stack(
        [nothing if p.probabilities is None else p.probabilities[taught] for p in pictures]
    )
    if not multi_label:
        total = teacher.sum(1, keepdims=True)
        teacher = np.divide(teacher, total, out=np.zeros_like(teacher), where=total > 0)
    index_of = {label_id: index for index, label_id in enumerate(taught)}
    label_ids = [-1 if p.label_id is None else index_of[p.label_id] for p in pictures]
    # A picture without a group has one of its own, which no given number can be.
    keys = [(0, p.group) if p.group is not None else (1, i) for i, p in enumerate(pictures)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    groups = np.array([numbers[key] for key in keys], dtype=np.int64)
    positive = None
    if multi_label:
        positive = np.zeros((len(pictures), len(taught)), dtype=bool)
        for row, picture in zip(positive, pictures, strict=True):
            row[[index_of[label_id] for label_id in picture.label_ids]] = True
    ids = np.array(label_ids, dtype=np.int64)
    return TrainingData(rows, teacher, ids, groups, teaching, positive)


def _head(choice: Choice, teaching: Teaching) -> dict[str, Any]:
    return {
        "hidden": choice.hidden,
        "penalty": choice.penalty,
        "temperature": teaching.temperature,
        "reviewed_weight": teaching.reviewed,
        "smoothing": teaching.smoothing,
        "tried": list(choice.tried),
    }


def _parameters(net: features.ImageNet, fitted: heads.Parameters) -> dict[str, NDArray[Any]]:
    """All of them, with the precision that they have in the file."""
    every = {**net.parameters, "looks": net.looks, **fitted}
    return {
        name: onnx_file.as_stored(np.asarray(value, dtype=np.float32)).astype(np.float32)
        for name, value in every.items()
    }


def _latency(
    content: bytes,
    small: Student,
    teacher: Encoder,
    sources: Sequence[Any],
    threads: int | None,
) -> dict[str, Any] | None:
    with tempfile.TemporaryDirectory(prefix="unseen-") as folder:
        file = Path(folder) / "classifier.onnx"
        file.write_bytes(content)
        prepare = distilled.preprocess(small.side)
        return latency.compare(file, prepare, teacher, sources, threads=threads)
