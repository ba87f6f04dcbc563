"""What a classifier of `unseen distil` is worth, and what it costs.

    python benchmarks/distil.py             # how good, by how many pictures were reviewed
    python benchmarks/distil.py --few       # with few pictures: where it stops, and against adapt
    python benchmarks/distil.py --choices   # what was chosen: side, temperature, weight, mirrors …
    python benchmarks/distil.py --speed     # against its teachers, on this machine; size, start

How good: five folds, in turn held out. The other four are taught as `unseen distil` does it (what
was reviewed, and what the teacher gives 0.9 or more), and all pictures of the fifth are judged by
their true label, those that the teacher is unsure of too. Reviewed ones are the most doubtful of
the four folds, every fifth a draw. Wilson's 95 % interval behind each figure.

Few: of a folder's labels and pictures some are drawn, the model proposes, the queue of the review
is answered rightly and learnt from, `unseen distil` learns, and so does `unseen adapt` from the
same answers; the pictures that were not drawn judge. In points of the model by itself, for sets in
which each label has the pictures that `unseen distil` asks for and for those where it stops. Rows
with a star were looked at while that number was chosen.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import unseen
from unseen.annotation import active_learning
from unseen.annotation.training_set import training_set_of
from unseen.datasets.folds import stratified_folds
from unseen.evaluation.bootstrap import proportion
from unseen.learning.adapt import fit_adapter
from unseen.learning.distil import features, heads, latency, training
from unseen.learning.distil.classifier import SIDE, DistilOptions, distil, training_data
from unseen.learning.distil.model_card import Teacher
from unseen.learning.distil.training import Teaching, TrainingData
from unseen.learning.distil.training_set import TrainingPicture, TrainingSet
from unseen.models.families import distilled
from unseen.prediction.decision import Decision
from unseen.prediction.predict import label_probabilities

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

import label  # noqa: E402
from side_by_side import b32  # noqa: E402
from side_by_side import photographs as large  # noqa: E402
from transductive import blurred, grainy  # noqa: E402

import shapes  # noqa: E402

SURE = 0.9
REVIEWED = (0.0, 0.1, 0.2, 0.4, 1.0)  # parts of the four folds
FOLDS = 5


@dataclass(frozen=True)
class Folder:
    """Pictures (n), what they show, and what the teacher says (n, k); `vectors`: of the teacher."""

    name: str
    pictures: list[Any]
    truth: Any
    teacher: Any
    vectors: Any


def photographs() -> Folder:
    """Those of the tests whose label has two or more, and the built-in model."""
    pairs = [(p, p.parent.name) for p in sorted((ROOT / "tests" / "photographs").glob("*/*"))]
    many = sorted({n for _, n in pairs if sum(n == other for _, other in pairs) > 1})
    pairs = [(p, n) for p, n in pairs if n in many]
    return _asked(
        "photographs, built-in",
        [p for p, _ in pairs],
        [many.index(n) for _, n in pairs],
        [name.replace("_", " ") for name in many],
        unseen.load(),
    )


def drawn(name: str, spoil: Any) -> Folder:
    """Spoiled shapes of held-out combinations, and the small trained CLIP."""
    rng = np.random.default_rng(0)
    labels = shapes.labels(held_out=True)
    pairs = [
        (spoil(shapes.draw(shapes.scene(label), 40_000 + seed), rng), place)
        for place, label in enumerate(labels)
        for seed in range(20)
    ]
    teacher = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    return _asked(
        f"{name} shapes, trained fixture",
        [p for p, _ in pairs],
        [place for _, place in pairs],
        labels,
        teacher,
    )


def _asked(
    name: str, pictures: list[Any], truth: list[int], labels: list[str], teacher: Any
) -> Folder:
    rows = teacher.encode_images(pictures)
    _, said, _ = label_probabilities(rows, teacher.compile(labels), Decision())
    return Folder(name, pictures, np.array(truth), said, rows)


def encoded(folder: Folder, side: int = SIDE, *, mirrored: bool = False) -> Any:
    pictures = [p if isinstance(p, Image.Image) else unseen.open_image(p) for p in folder.pictures]
    if mirrored:
        pictures = [p.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for p in pictures]
    return features.features(features.ImageNet.builtin(), side, pictures)[0]


def reviewed_first(folder: Folder, pictures: Any, count: int) -> Any:
    """What the review asks of these pictures: doubtful and unlike, each fifth a draw."""
    p = folder.teacher[pictures]
    sure = p.max(1) >= SURE
    doubtful = np.flatnonzero(~sure)
    nothing = np.zeros((0, folder.vectors.shape[1]), np.float32)
    order = active_learning.order(
        active_learning.uncertainty(p[doubtful]),
        folder.vectors[pictures[doubtful]],
        nothing,
        len(doubtful),
    )
    audits = np.random.default_rng(0).permutation(np.flatnonzero(sure))
    found = active_learning.interleave(doubtful[order].tolist(), audits.tolist(), count)
    return pictures[[place for place, _ in found]]


def judged(
    folder: Folder,
    rows: Any,
    part: float,
    *,
    head: str = "auto",
    teaching: Teaching | None = None,
    mirrored: Any = None,
) -> tuple[Any, float]:
    """(n, k) logits of each picture by a head that did not see it, and how many were reviewed."""
    n = len(folder.truth)
    fold = stratified_folds(folder.truth, FOLDS, seed=0)
    said = np.zeros(folder.teacher.shape, np.float64)
    counts = []
    for number in range(FOLDS):
        rest = np.flatnonzero(fold != number)
        told = reviewed_first(folder, rest, round(part * len(rest)))
        truth = np.full(n, -1)
        truth[told] = folder.truth[told]
        chosen = (fold != number) & ((truth >= 0) | (folder.teacher.max(1) >= SURE))
        lessons = TrainingData(rows, folder.teacher, truth, np.arange(n), teaching or Teaching())
        own = lessons.of(chosen)
        if mirrored is not None:
            twice = replace(lessons, features=mirrored).of(chosen)
            own = _both(own, twice)
        fitted = training.fit(own, training.choose(own, head))
        said[fold == number] = heads.logits(fitted, rows[fold == number])
        counts.append(len(told))
    return said, statistics.mean(counts)


def _both(one: TrainingData, other: TrainingData) -> TrainingData:
    return replace(
        one,
        features=np.vstack([one.features, other.features]),
        teacher=np.vstack([one.teacher, other.teacher]),
        label_ids=np.concatenate([one.label_ids, other.label_ids]),
        groups=np.concatenate([one.groups, other.groups]),
    )


def share(yes: Any) -> str:
    low, high = proportion(int(yes.sum()), len(yes))
    return f"{100 * yes.mean():5.1f} ({100 * low:.0f} to {100 * high:.0f})"


def quality() -> Iterator[str]:
    for folder in _folders():
        of_teacher = folder.teacher.argmax(1)
        sure = (folder.teacher.max(1) >= SURE).mean()
        yield (
            f"{folder.name}: {len(folder.truth)} pictures, {folder.teacher.shape[1]} labels; the "
            f"teacher is sure of {100 * sure:.0f} %, right on {share(of_teacher == folder.truth)} %"
        )
        yield f"  {'reviewed':>8}  {'agrees with the teacher':>24}  {'right':>22}"
        rows = encoded(folder)
        for part in REVIEWED:
            said, count = judged(folder, rows, part)
            own = said.argmax(1)
            yield (
                f"  {count:8.0f}  {share(own == of_teacher):>24}  {share(own == folder.truth):>22}"
            )


def _folders() -> Iterator[Folder]:
    yield photographs()
    yield drawn("blurred", blurred)
    yield drawn("grainy", grainy)


# Labels, pictures and answers of a case; the photographs are too few for more.
OF_SHAPES = tuple(
    (k, n, r) for k, n in ((16, 60), (16, 150), (8, 40), (8, 120), (4, 20)) for r in (0, 20, 40)
)
OF_PHOTOGRAPHS = tuple((k, n, r) for k, n in ((4, 30), (4, 60)) for r in (0, 10, 20))
OF_MANY = tuple((21, 39, r) for r in (0, 6, 12, 20))


@dataclass(frozen=True)
class Outcome:
    """Parts that are right, of the model, a classifier and an adapter."""

    answers: int
    made: bool  # not stopped
    model: float
    classifier: float | None
    adapter: float | None


def few(draws: int) -> Iterator[str]:
    for pictures in label.encoded():
        cases = OF_SHAPES
        if pictures.name.startswith("photographs"):
            cases = OF_PHOTOGRAPHS if len(pictures.labels.labels) == 4 else OF_MANY
        elif not pictures.name.endswith("*"):
            continue
        if len(pictures.labels.labels) > 21:
            continue
        seen = encoded_features(pictures)
        outcomes = [
            outcome
            for draw in range(draws)
            for case in cases
            if (outcome := drawn_case(pictures, seen, draw, *case)) is not None
        ]
        yield f"{pictures.name}: {len(outcomes)} cases"
        for what, group in (
            ("nothing reviewed", [o for o in outcomes if not o.answers]),
            (
                "made, nothing reviewed",
                [o for o in outcomes if o.made and not o.answers],
            ),
            ("made, reviewed", [o for o in outcomes if o.made and o.answers]),
            (
                "stopped, nothing reviewed",
                [o for o in outcomes if not o.made and not o.answers],
            ),
            ("stopped, reviewed", [o for o in outcomes if not o.made and o.answers]),
        ):
            gains = [100 * (o.classifier - o.model) for o in group if o.classifier is not None]
            line = f"  {what:27} {len(gains):4} cases"
            if gains:
                line += f"  {np.mean(gains):+6.1f} (worst {min(gains):+.1f})"
            both = [o for o in group if o.adapter is not None and o.classifier is not None]
            if both:
                better = np.mean([o.adapter > o.classifier for o in both])  # type: ignore[operator]
                worse = np.mean([o.adapter < o.classifier for o in both])  # type: ignore[operator]
                more = np.mean([100 * (o.adapter - o.model) for o in both])  # type: ignore[operator]
                line += (
                    f"; adapt {more:+.1f}, better than distil in {better:.0%}, worse in {worse:.0%}"
                )
            yield line


def drawn_case(
    pictures: label.Encoded, seen: Any, draw: int, k: int, n: int, answers: int
) -> Outcome | None:
    """None where fewer than 30 pictures would judge."""
    rng = np.random.default_rng([draw, k, n])
    keep = np.sort(rng.permutation(len(pictures.labels.labels))[:k])
    everything = pictures.labels
    labels = replace(
        everything,
        labels=tuple(everything.labels[i] for i in keep),
        prompts=tuple(everything.prompts[i] for i in keep),
        matrix=everything.matrix[keep],
    )
    places = rng.permutation(np.flatnonzero(np.isin(pictures.truth, keep)))
    some, rest = places[:n], places[n:]
    if len(rest) < 30:
        return None
    names = [label.name for label in labels.labels]
    truth = np.searchsorted(keep, pictures.truth)
    with tempfile.TemporaryDirectory() as folder:
        labelling = label.proposed(folder, pictures.rows[some], labels, draw)
        with labelling:
            label.answer(labelling, [names[i] for i in truth[some]], answers, learn=True, seed=draw)
            training_set = training_set_of(labelling)
            reviewed = [(int(p.paths[0]), p.chosen) for p in labelling.pictures() if p.chosen]
    told = [some[place] for place, _ in reviewed]
    adapter = None
    if len({name for _, name in reviewed}) > 1:
        made = fit_adapter(
            pictures.rows[told], [names.index(str(name)) for _, name in reviewed], labels, seed=draw
        )
        logits = made.apply(labels).similarities(pictures.rows[rest])
        adapter = float((logits.argmax(1) == truth[rest]).mean())
    own = None
    taught = [i for i, count in enumerate(training_set.counts.values()) if count]
    if len(taught) > 1:
        rows = seen[some][[int(Path(p.source).name) for p in training_set.pictures]]
        data = training_data(training_set.pictures, rows, taught, Teaching())
        head = training.fit(data, training.choose(data))
        best = np.array(taught)[heads.logits(head, seen[rest]).argmax(1)]
        own = float((best == truth[rest]).mean())
    model = float(((pictures.rows[rest] @ labels.matrix.T).argmax(1) == truth[rest]).mean())
    try:
        training_set.require_enough()
        is_made = True
    except unseen.LabelError:
        is_made = False
    return Outcome(len(reviewed), is_made, model, own, adapter)


def encoded_features(pictures: label.Encoded) -> Any:
    """(n, d): what the image net sees of the same pictures."""
    return features.features(features.ImageNet.builtin(), SIDE, pictures.pictures)[0]


def choices(part: float = 0.2) -> Iterator[str]:
    """Each choice by itself against the default, a fifth reviewed: right, and the loss, of all."""
    for folder in (photographs(), drawn("grainy", grainy)):
        yield folder.name
        plain = encoded(folder)
        yield _line(folder, "as it is", plain, part)
        for temperature in (2.0, 4.0):
            how = Teaching(temperature=temperature)
            yield _line(folder, f"temperature {temperature:g}", plain, part, teaching=how)
        for weight in (1.0, 16.0):
            how = Teaching(reviewed=weight)
            yield _line(folder, f"reviewed count {weight:g}", plain, part, teaching=how)
        for smoothing in (0.05, 0.1):
            how = Teaching(smoothing=smoothing)
            yield _line(folder, f"smoothing {smoothing:g}", plain, part, teaching=how)
        for side in (260, 192, 160):
            yield _line(folder, f"side {side}", encoded(folder, side), part)
        mirrored = encoded(folder, mirrored=True)
        yield _line(folder, "mirrored as well", plain, part, mirrored=mirrored)
        if len(folder.truth) < 100:  # minutes for the others
            yield _line(folder, "a hidden layer", plain, part, head="mlp")


def _line(folder: Folder, what: str, rows: Any, part: float, **how: Any) -> str:
    said, _ = judged(folder, rows, part, **how)
    top = said - said.max(1, keepdims=True)
    loss = np.log(np.exp(top).sum(1)) - top[np.arange(len(top)), folder.truth]
    return f"  {what:20} {share(said.argmax(1) == folder.truth):>22}  {loss.mean():5.2f}"


COLD = "import sys, unseen; unseen.load(sys.argv[1]).classify(sys.argv[2], {labels})"


def speed() -> Iterator[str]:
    folder = photographs()
    names = [f"label {i}" for i in range(folder.teacher.shape[1])]
    pairs = zip(folder.pictures, folder.teacher, strict=True)
    training_set = TrainingSet([TrainingPicture(p, t) for p, t in pairs], tuple(names))
    teachers = {"built-in": unseen.load(), "CLIP B/32 (random weights)": unseen.load(b32())}
    pictures = large(8)
    with tempfile.TemporaryDirectory() as place:
        for side in (260, 224, 192, 160):
            made = distil(Teacher.of("builtin", None, None), training_set, DistilOptions(side=side))
            file = Path(place) / f"{side}.onnx"
            file.write_bytes(made.content)
            for name, teacher in teachers.items():
                found = latency.compare(file, distilled.preprocess(side), teacher.encoder, pictures)
                assert found is not None
                own, other = found["student_ms"], found["teacher_ms"]
                yield (
                    f"side {side}, against {name}: net {own['net']:.1f} ms and {other['net']:.1f} "
                    f"ms, ratio {found['ratio']['net']:.2f}; a file of 3 megapixels to its answer "
                    f"{own['picture']:.1f} and {other['picture']:.1f} ms, "
                    f"ratio {found['ratio']['picture']:.2f}"
                )
        for count in (2, 100, 1000, 4000):
            like = distilled.Student(tuple(map(str, range(count))), (), SIDE, 1.0, {})
            net = features.ImageNet.builtin()
            some = {**net.parameters, "looks": net.looks}
            some["output.weight"] = np.random.default_rng(0).random((count, 1280), np.float32)
            some["output.bias"] = np.zeros(count, np.float32)
            yield f"{count} labels: {len(distilled.to_bytes(like, some)) / 1e6:.1f} MB"
        taken: dict[str, list[float]] = {f"{SIDE}.onnx": [], "builtin": []}
        for turn in range(8):
            for model, times in taken.items():
                path = str(Path(place) / model) if "." in model else model
                asked = COLD.format(labels="None" if "." in model else '["cat", "dog"]')
                begin = time.perf_counter()
                subprocess.run([sys.executable, "-c", asked, path, str(pictures[0])], check=True)
                if turn:
                    times.append(time.perf_counter() - begin)
        for model, times in taken.items():
            yield f"a new process to its first answer, {model}: {statistics.median(times):.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--choices", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--draws", type=int, default=10)
    options = parser.parse_args()
    if options.few:
        for line in few(options.draws):
            print(line, flush=True)
        return
    for line in choices() if options.choices else speed() if options.speed else quality():
        print(line, flush=True)


if __name__ == "__main__":
    main()
