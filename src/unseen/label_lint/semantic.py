"""Checks of the vectors of labels: words that mean the same, or two things, or too little."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache

import numpy as np

from unseen.label_lint.context import Subject, percent
from unseen.label_lint.findings import NOTE, WARNING, Finding
from unseen.labels import spelling, traps
from unseen.labels.compile import NEUTRAL
from unseen.labels.templates import fill
from unseen.prediction.score import logits, single_label, softmax
from unseen.system.packaged import packaged
from unseen.types import Floats

# Of pairs of everyday words, so many are less alike than what is called a near-synonym. Found with
# benchmarks/label_doctor.py: lower finds more synonyms, and more pairs that are not.
SYNONYM = 0.999
# The least share of a picture's probability that a pair is named for, and warned of.
SHARE, LARGE_SHARE = 0.1, 0.25
PAIRS = 20  # of each kind that are named
COMPANY = 3  # labels beside it that say which sense of a word is meant: at least so many
CLEAR = 0.03  # a cosine larger by this is clearly larger: of two senses of a word


def run_checks(subject: Subject, ignored: frozenset[str] = frozenset()) -> list[Finding]:
    """All of these checks; `ignored` labels are not words, and are not compared with others."""
    label_ids = [i for i in subject.foreground if subject.names[i] not in ignored]
    return [
        *homographs(subject, label_ids),
        *pairs(subject, label_ids),
        *alone(subject),
        *missing_other(subject),
    ]


# words of several meanings


@cache
def senses() -> dict[str, dict[str, str]]:
    """Word → context → what it is then."""
    text = packaged("data/homographs.json").read_text("utf-8")
    table: dict[str, dict[str, str]] = json.loads(text)
    return table


def homographs(subject: Subject, label_ids: list[int]) -> Iterator[Finding]:
    """Words of several meanings, unless the model clearly has the one that clearly is meant."""
    for i in label_ids:
        label = subject.labels.labels[i]
        meanings = senses().get(spelling.singular_form(label.name))
        if label.prompts or meanings is None:
            continue
        contexts = [*meanings]
        rows = subject.encode_names([f"{label.name}, {meanings[context]}" for context in contexts])
        cosines = rows @ subject.vectors[i]
        other_ids = [j for j in label_ids if j != i]
        suggestion = cosines
        if len(other_ids) >= COMPANY:
            # Some senses are near to everything, so only what is nearer to these labels counts.
            suggestion = (rows @ subject.vectors[other_ids].T).mean(1)
            suggestion = suggestion - (rows @ subject.neutral.T).mean(1)
        model_sense = contexts[int(cosines.argmax())]
        # Where the other labels do not agree, the model's own reading is as good as any.
        is_clear = suggestion is not cosines and _clear(suggestion)
        sense = contexts[int(suggestion.argmax())] if is_clear else model_sense
        if is_clear and model_sense == sense and _clear(cosines):
            continue
        problem = (
            f"it may be {' or '.join(meanings.values())}; the model reads it as "
            f"{meanings[model_sense]}"
        )
        severity, advice = WARNING, "say which"
        if model_sense != sense:
            problem += f", and what stands beside it suggests {meanings[sense]}"
        else:  # context for the sense that it has gains nothing: benchmarks/label_doctor.py
            sense = contexts[int(cosines.argsort()[-2])]
            severity, advice = NOTE, f"leave it if that is meant; if {meanings[sense]} is, say so"
        text = f"{label.name}, {meanings[sense]}"
        yield Finding(
            "homograph",
            severity,
            (label.name,),
            problem,
            f"{advice}, such as {f'{label.name} ({sense})'!r} with the prompt "
            f"{fill(subject.template, text)!r}.",
            _nearest(subject, i, other_ids, rows[contexts.index(sense)]),
            {f"cosine to {c}": float(v) for c, v in zip(contexts, cosines, strict=True)},
        )


def _clear(cosines: Floats) -> bool:
    first, second = np.sort(cosines)[::-1][:2]
    return bool(first - second >= CLEAR)


def _nearest(subject: Subject, label_id: int, other_ids: list[int], vector: Floats) -> str:
    """The label next to one, before and after its vector is replaced by another."""
    if not other_ids:
        return ""
    before = subject.vectors[other_ids] @ subject.vectors[label_id]
    after = subject.vectors[other_ids] @ vector
    first, second = int(before.argmax()), int(after.argmax())
    return (
        f"the label next to it is now {subject.names[other_ids[first]]!r} (cosine "
        f"{before[first]:.2f}), and then {subject.names[other_ids[second]]!r} "
        f"({after[second]:.2f})"
    )


# pairs


def pairs(subject: Subject, label_ids: list[int]) -> Iterator[Finding]:
    """Pairs that are nearly one label, and pairs that take much from one another."""
    cosines = subject.cosines[np.ix_(label_ids, label_ids)]
    first, second = np.triu_indices(len(label_ids), 1)
    pair_cosines = cosines[first, second]
    order = np.argsort(-pair_cosines, kind="stable")
    threshold = subject.quantile(SYNONYM)
    counts = {"near-synonym": 0, "confused": 0}
    for pair in order:
        cosine = float(pair_cosines[pair])
        share = subject.share(cosine)
        kind = "near-synonym" if cosine > threshold and share >= SHARE else "confused"
        if share < SHARE:
            break
        counts[kind] += 1
        if counts[kind] <= PAIRS:
            names = (subject.names[label_ids[first[pair]]], subject.names[label_ids[second[pair]]])
            yield _pair(subject, kind, names, cosine, share)
    for kind, count in counts.items():
        if count > PAIRS:
            yield Finding(
                f"more-{kind}", NOTE, (), f"{count - PAIRS} more pairs of this kind: {kind}",
                "mend the first ones, and look again.", figures={"pairs": count - PAIRS},
            )  # fmt: skip


def _pair(
    subject: Subject, kind: str, names: tuple[str, str], cosine: float, share: float
) -> Finding:
    part = subject.usual_part(cosine)
    problem = (
        f"cosine {cosine:.2f}, nearer than {percent(part)} of pairs of everyday words: of a "
        f"picture of one, about {share:.0%} goes to the other"
    )
    words = [set(spelling.normal(name).split()) for name in names]
    general = next((n for n, w, o in zip(names, words, words[::-1], strict=True) if w < o), None)
    if general is not None:
        advice = f"if {general!r} means all but the other, say so: what kind of it is it?"
    elif kind == "near-synonym":
        advice = "if they mean one thing, make them one label with two prompts; they are averaged."
    else:
        advice = "say in the prompts what tells them apart, or make them one label."
    # The cosine of either to the average of both: cos(a / 2) = √((1 + cos a) / 2).
    merged = float(np.sqrt((1 + min(cosine, 1.0)) / 2))
    return Finding(
        kind,
        WARNING if kind == "near-synonym" or share >= LARGE_SHARE else NOTE,
        names,
        problem,
        advice,
        f"as one label their {share:.0%} is not lost, and its cosine to either is {merged:.2f}",
        {"cosine": cosine, "usual_part": part, "share": share, "merged": merged},
    )


# too few labels


def alone(subject: Subject) -> Iterator[Finding]:
    if traps.alone(subject.names, subject.score):
        yield Finding(
            "alone", WARNING, subject.names,
            "the only label has a probability of 100 %, whatever the picture shows",
            "give what else there may be, or --unknown, or ask with --multi.",
        )  # fmt: skip


def missing_other(subject: Subject) -> Iterator[Finding]:
    """What a picture of something else would get, with everyday words in the place of pictures."""
    if len(subject.foreground) < len(subject.names) or len(subject.names) < 2:
        return
    score = subject.score
    # A word's vector, scaled to the usual cosine between a picture and its word, is the picture.
    is_other = (subject.neutral @ subject.vectors.T).max(1) < subject.quantile(SYNONYM)
    pictures = subject.neutral[is_other] * np.float32(subject.match)
    if not len(pictures):
        return
    neutral = subject.encode_names(NEUTRAL)
    before = single_label(pictures @ subject.vectors.T, score).max(1)
    with_other = np.vstack([subject.vectors, neutral]).astype(np.float32)
    probabilities = softmax(logits(pictures @ with_other.T, score))
    k = len(subject.names)
    unknown = probabilities[:, k:].sum(1) > probabilities[:, :k].max(1)
    # The labels as pictures of themselves: background labels must not win these.
    label_pictures = subject.vectors * np.float32(subject.match)
    label_probabilities = softmax(logits(np.asarray(label_pictures @ with_other.T), score))
    is_right = label_probabilities[:, :k].max(1) > label_probabilities[:, k:].sum(1)
    sure = float((before >= 0.5).mean())
    options = " ".join(f'--unknown "{word}"' for word in NEUTRAL[:2])
    yield Finding(
        "missing-other",
        NOTE,
        (),
        "no label means none of these: a picture of something else gets one of them, too",
        f"give background labels, such as {options}, or better what else the pictures show.",
        f"of {len(pictures)} everyday words in the place of pictures {sure:.0%} get a label with "
        f"50 % or more; with {len(NEUTRAL)} background labels ({', '.join(NEUTRAL)}) "
        f"{float(unknown.mean()):.0%} become unknown, and {float(is_right.mean()):.0%} of the "
        "labels stay themselves",
        {
            "words": len(pictures),
            "sure": sure,
            "unknown": float(unknown.mean()),
            "kept": float(is_right.mean()),
        },
    )
