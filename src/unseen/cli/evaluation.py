"""The work of `unseen eval`: read what is true, encode once a model, judge each combination."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import unseen
from unseen.cli import figures, labelled, options, progress
from unseen.cli.figures import MISTAKES, Candidate
from unseen.cli.labelled import listed, say_left_out, unreadable
from unseen.datasets.annotation import Example, Match, classes, match, read, read_table
from unseen.errors import LabelError, ModelError, SourceError
from unseen.evaluation import metrics as evaluate
from unseen.evaluation.bootstrap import Group, audit
from unseen.evaluation.metrics import Metric
from unseen.load_options import LoadOptions
from unseen.prediction.adapter import Adapter
from unseen.prediction.calibration import Calibration
from unseen.prediction.decision import Decision
from unseen.prediction.predict import label_probabilities
from unseen.results.manifest import manifest

ROUGH = 30  # pictures below which an interval is not worth much
NO_GROUP = "(none)"  # where the column is empty
NONE = "none"  # in the place of an adapter or a calibration: without one, to compare with

Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Question:
    """What is asked: the options of the command."""

    source: Path
    kind: str  # single, multi or retrieval
    models: Sequence[str]
    labels: Sequence[str]
    templates: Sequence[str]
    adapters: Sequence[str]
    calibrations: Sequence[str]
    background: Sequence[str]
    ks: Sequence[int] | None
    group: str | None
    least: int
    index: bool
    batch_size: int | None
    quiet: bool
    load_options: LoadOptions  # of each model; `models` are their names

    def __post_init__(self) -> None:
        learnt = self.adapters or self.calibrations
        fixed = self.labels or self.templates or self.background or learnt or self.group is not None
        if self.kind == "retrieval" and fixed:
            raise LabelError(
                "--retrieval compares pictures with captions as they are: leave out --labels, "
                "--template, --unknown, --adapter, --calibration and --group."
            )

        if self.load_options.revision is not None and len(self.models) > 1:
            raise ModelError("--revision is for one model; of several write org/name@revision.")

    def of_model(self, model: str) -> LoadOptions:
        """How one of the models is loaded."""
        return replace(self.load_options, model=model)

    def facts(self) -> dict[str, Any]:
        """The options as the manifest of a run has them."""
        names = ("exact", "threads", "precision", "device", "commercial")
        return {"kind": self.kind} | {name: getattr(self.load_options, name) for name in names}

    @property
    def several(self) -> bool:
        return self.kind == "multi"

    def gate(self, text: str, at_least: bool) -> tuple[str, float, bool]:
        """`top1=0.7` → the figure, its bound, and which way. LabelError."""
        name, _, value = text.partition("=")
        known = self._known()
        if name not in known:
            raise LabelError(f"{text!r}: no figure is called {name!r}; {', '.join(known)} are.")
        if known[name].higher != at_least:
            better, way = ("more", "--min") if known[name].higher else ("less", "--max")
            raise LabelError(f"{text!r}: {name} is better when it is {better}; use {way}.")
        try:
            return name, float(value), at_least
        except ValueError:
            raise LabelError(f"{text!r}: after = stands a number, such as {name}=0.7.") from None

    def _known(self) -> Mapping[str, Metric]:
        """The figures of a question of this kind, on one picture that does not matter."""
        p, ks = np.full((1, 2), 0.5), self.ks
        if self.kind == "retrieval":
            zero = np.zeros((1, 2), dtype=np.intp)
            return evaluate.retrieval(p, p, zero, ks or RETRIEVED)
        if self.several:
            return evaluate.multi(p, p > 1, p > 1)
        return evaluate.single(p, np.zeros(1, dtype=np.intp), ks or FIRST)


FIRST, RETRIEVED = (1, 5), (1, 5, 10)  # what is asked for where no k is given


def answer(question: Question) -> dict[str, Any]:
    """The document of figures.py. What is left out is said on standard error."""
    if question.kind == "retrieval":
        return _retrieval(question)
    examples = read(question.source, several=question.several)
    groups = _groups(question, examples)
    asked, failed = _ask(question, examples)
    matches = [match(examples, names) for _, names, _, _ in asked]
    judged = np.array([path.path not in failed for path in examples])
    for one in matches:
        judged &= one.judged(question.several)
    rows = np.flatnonzero(judged)
    left_out = _left_out(question, examples, matches, failed)
    if not len(rows):
        raise SourceError(f"{question.source}: no picture is left to judge.")
    if len(rows) < ROUGH:
        progress.say(f"warning: with {len(rows)} pictures every interval is rough.")
    candidates, mistakes = [], []
    for (about, names, p, thresholds), one in zip(asked, matches, strict=True):
        candidate = _candidate(question, about, names, p[rows], thresholds, one, rows)
        candidate.measure(len(rows))
        if groups is not None:
            candidate.groups = _audit(question, candidate, [groups[row] for row in rows])
        candidates.append(candidate)
        mistakes.append(_mistakes(candidate, [examples[row].path for row in rows]))
    group = None
    if groups is not None:
        shown = "exact" if question.several else next(iter(candidates[0].metrics))
        group = {"column": question.group, "least": question.least, "metric": shown}
    return figures.document(
        question.kind, str(question.source), len(rows), left_out, candidates, mistakes, group
    )


def _groups(question: Question, examples: Sequence[Example]) -> list[str] | None:
    if question.group is None:
        return None
    columns = examples[0].columns
    if question.group not in columns:
        known = ", ".join(columns) or "none: groups are columns of a CSV file"
        raise SourceError(
            f"{question.source}: there is no column {question.group!r}; there are {known}."
        )
    groups = [example.columns[question.group] or NO_GROUP for example in examples]
    if len(set(groups)) < 2:
        raise SourceError(f"{question.source}: all of {question.group!r} is {groups[0]!r}.")
    return groups


Asked = tuple[dict[str, Any], list[str], Rows, Rows]  # about it, names, (n, k), thresholds


def _ask(question: Question, examples: Sequence[Example]) -> tuple[list[Asked], dict[Path, str]]:
    """What every combination says of every example, and which could not be read, and why."""
    asked: list[Asked] = []
    failed: dict[Path, str] = {}
    paths = [example.path for example in examples]
    own = classes(examples)
    label_sets: list[str | None] = [*question.labels] or [None]
    templates: list[str | None] = [*question.templates] or [None]
    adapters = {one: Adapter.load(one) for one in question.adapters if one != NONE}
    calibrations = {one: Calibration.load(one) for one in question.calibrations if one != NONE}
    how = question.facts()
    for name in question.models:
        classifier = unseen.load(question.of_model(name))
        for one in adapters.values():
            one.check(classifier.model)
        images = _encode(classifier, paths, question, failed)
        for labels, template in product(label_sets, templates):
            with progress.prompts(question.quiet) as show:
                named = None if classifier.model.labels else own
                compiled = classifier.compile(
                    named if labels is None else options.labels_argument(labels),
                    template=template,
                    background=question.background,
                    progress=show,
                )
            for chosen in product(question.adapters or [NONE], question.calibrations or [NONE]):
                adapter, learnt = adapters.get(chosen[0]), calibrations.get(chosen[1])
                adapted = compiled if adapter is None else adapter.apply(compiled)
                decision = Decision(question.several, calibration=learnt)
                found = label_probabilities(images, adapted, decision)
                data = None if learnt is None else learnt.to_data()
                about = {
                    **_of(classifier),
                    "template": template,
                    "labels_from": labels,
                    "adapter": chosen[0] if adapter is not None else None,
                    "calibration": chosen[1] if learnt is not None else None,
                    "label_count": len(found[0]),
                    "run": manifest(classifier.model, adapted, {**how, "calibration": data}),
                }
                asked.append((about, *found))
    return asked, failed


def _of(classifier: unseen.Classifier) -> dict[str, Any]:
    model = classifier.model
    return {"model": model.name, "revision": model.revision, "fingerprint": model.fingerprint}


def _encode(
    classifier: unseen.Classifier,
    paths: Sequence[Path],
    question: Question,
    failed: dict[Path, str],
) -> Rows:
    return labelled.encode(
        classifier,
        paths,
        question.source,
        failed,
        index=question.index,
        batch_size=question.batch_size,
        quiet=question.quiet,
    )


def _candidate(
    question: Question,
    about: dict[str, Any],
    names: list[str],
    p: Rows,
    thresholds: Rows,
    matched: Match,
    rows: NDArray[np.intp],
) -> Candidate:
    truth = matched.truth(rows.tolist(), question.several, len(names))
    yes = p >= thresholds if question.several else None
    metrics = _metrics(question, p, truth, yes)
    return Candidate(about, names, matched.idle, p, truth, yes, metrics)


def _metrics(
    question: Question, p: Rows, truth: NDArray[Any], yes: NDArray[np.bool_] | None
) -> dict[str, Metric]:
    if yes is not None:
        return evaluate.multi(p, truth, yes)
    # Right among the first five of five says nothing.
    ks = question.ks or [k for k in FIRST if k == 1 or k < p.shape[1]]
    return evaluate.single(p, truth, list(dict.fromkeys(ks)))


def _audit(question: Question, c: Candidate, groups: Sequence[str]) -> list[Group]:
    def metrics_of(rows: NDArray[np.intp]) -> dict[str, Metric]:
        yes = None if c.yes is None else c.yes[rows]
        return _metrics(question, c.probabilities[rows], c.truth[rows], yes)

    return audit(metrics_of, groups, least=question.least)


def _mistakes(c: Candidate, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The surest that were wrong. Of several labels: the one that is furthest off."""
    p, n = c.probabilities, np.arange(len(paths))
    if c.yes is None:
        said, off = p.argmax(1), p.max(1)
        wrong = said != c.truth
    else:
        far = np.where(c.yes == c.truth, -1.0, np.abs(p - c.truth))
        said, off = far.argmax(1), far.max(1)
        wrong = (c.yes != c.truth).any(1)
    worst = [row for row in np.argsort(-off, kind="stable") if wrong[row]][:MISTAKES]
    found = []
    for row in worst:
        true = [c.truth[row]] if c.yes is None else np.flatnonzero(c.truth[row])
        one: dict[str, Any] = {
            "path": str(paths[row]),
            "true": [c.names[i] for i in true],
            "said": c.names[said[row]],
            "score": float(p[n[row], said[row]]),
        }
        if c.yes is None:
            one["score_of_true"] = float(p[row, c.truth[row]])
        else:
            one["missed"] = bool(c.truth[row, said[row]])
        found.append(one)
    return found


# pairs


def _retrieval(question: Question) -> dict[str, Any]:
    table = [(path, text) for path, text, _ in read_table(question.source, "caption")]
    failed: dict[Path, str] = {}
    encoded = []
    paths = list(dict.fromkeys(path for path, text in table if text))
    for name in question.models:
        classifier = unseen.load(question.of_model(name))
        encoded.append((classifier, _encode(classifier, paths, question, failed)))
    pairs = [(path, text) for path, text in table if text and path not in failed]
    left_out = {"unreadable": unreadable(failed), "unlabelled": sum(not t for _, t in table)}
    say_left_out(left_out, len(paths))
    if not pairs:
        raise SourceError(f"{question.source}: no picture with a caption is left to judge.")
    texts = list(dict.fromkeys(text for _, text in pairs))
    kept = [i for i, path in enumerate(paths) if path not in failed]
    picture = {paths[i]: place for place, i in enumerate(kept)}
    place = {text: i for i, text in enumerate(texts)}
    places = np.array([(picture[path], place[text]) for path, text in dict.fromkeys(pairs)])
    if len(kept) < ROUGH:
        progress.say(f"warning: with {len(kept)} pictures every interval is rough.")
    candidates, mistakes = [], []
    for classifier, rows in encoded:
        images = rows[kept]
        with progress.prompts(question.quiet) as show:
            captions = classifier.encoder.encode_texts(texts, progress=show)
        metrics = evaluate.retrieval(images, captions, places, question.ks or RETRIEVED)
        how = question.facts()
        about = {**_of(classifier), "template": None, "captions": len(texts)}
        about["run"] = manifest(classifier.model, None, how)
        nothing = np.zeros((0, 0))
        c = Candidate(about, texts, [], nothing, nothing, None, metrics)
        c.measure(len(kept))
        candidates.append(c)
        mistakes.append(_lost(images, captions, places, [paths[i] for i in kept], texts))
    return figures.document(
        "retrieval", str(question.source), len(kept), left_out, candidates, mistakes, None
    )


def _lost(
    images: Rows, captions: Rows, pairs: NDArray[Any], paths: Sequence[Path], texts: Sequence[str]
) -> list[dict[str, Any]]:
    """The pictures before whose own captions most others come."""
    ranks = evaluate.retrieval_ranks(images, captions, pairs)
    found = []
    for row in np.argsort(-ranks, kind="stable")[:MISTAKES]:
        if not ranks[row]:
            break
        nearest = int((images[row] @ captions.T).argmax())
        own = pairs[pairs[:, 0] == row, 1]
        found.append(
            {
                "path": str(paths[row]),
                "true": [texts[i] for i in own],
                "said": texts[nearest],
                "rank": int(ranks[row]) + 1,
            }
        )
    return found


# what is left out


def _left_out(
    question: Question,
    examples: Sequence[Example],
    matches: Sequence[Match],
    failed: Mapping[Path, str],
) -> dict[str, Any]:
    unlabelled = sum(not example.labels for example in examples)
    unnamed: dict[str, int] = {}
    for one in matches:
        unnamed |= one.unnamed
    found = {
        "unreadable": unreadable(failed),
        "unlabelled": unlabelled,
        "unnamed": dict(sorted(unnamed.items(), key=lambda item: (-item[1], item[0]))),
    }
    say_left_out(found, len(examples), several=question.several)
    said = Counter(tuple(one.idle) for one in matches)
    for idle in said:
        if idle:
            progress.say(f"warning: {len(idle)} labels have no picture: {listed(idle)}.")
    return found
