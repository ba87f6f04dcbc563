"""What the vectors of labels tell: words that mean the same, or two things, or too little."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib import resources

import numpy as np

from unseen.label_lint import spelling
from unseen.label_lint.context import Rows, Subject, percent
from unseen.label_lint.findings import NOTE, WARNING, Finding
from unseen.labels.compile import NEUTRAL
from unseen.labels.templates import fill
from unseen.prediction.score import logits, single_label, softmax

# Of pairs of everyday words, so many are less alike than what is called a near-synonym. Found with
# benchmarks/label_doctor.py: lower finds more synonyms, and more pairs that are none.
SYNONYM = 0.999
# The least share of a picture's probability that a pair is named for, and warned of.
SHARE, LARGE_SHARE = 0.1, 0.25
PAIRS = 20  # of each kind that are named
COMPANY = 3  # labels beside it that say which sense of a word is meant: at least so many
CLEAR = 0.03  # a cosine larger by this is clearly larger: of two senses of a word


def checked(subject: Subject, ignored: frozenset[str] = frozenset()) -> list[Finding]:
    """All of these checks; `ignored` labels are no words, and say nothing of others."""
    places = [i for i in subject.foreground if subject.names[i] not in ignored]
    return [
        *homographs(subject, places),
        *pairs(subject, places),
        *alone(subject),
        *missing_other(subject),
    ]


# words of several meanings


@cache
def senses() -> dict[str, dict[str, str]]:
    """Word → context → what it is then."""
    text = resources.files("unseen").joinpath("data/homographs.json").read_text("utf-8")
    table: dict[str, dict[str, str]] = json.loads(text)
    return table


def homographs(subject: Subject, places: list[int]) -> Iterator[Finding]:
    """Words of several meanings, unless the model clearly has the one that clearly is meant."""
    for i in places:
        label = subject.labels.labels[i]
        known = senses().get(spelling.singular_form(label.name))
        if label.prompts or known is None:
            continue
        contexts = [*known]
        rows = subject.filled([f"{label.name}, {known[context]}" for context in contexts])
        read = rows @ subject.vectors[i]
        company = [j for j in places if j != i]
        meant = read
        if len(company) >= COMPANY:
            # Some senses are near to everything, so only what is nearer to these labels counts.
            meant = (rows @ subject.vectors[company].T).mean(1)
            meant = meant - (rows @ subject.neutral.T).mean(1)
        taken = contexts[int(read.argmax())]
        # A mixed company says nothing; the model's own reading is then as good as any.
        told_by_company = meant is not read and _clear(meant)
        wanted = contexts[int(meant.argmax())] if told_by_company else taken
        if told_by_company and taken == wanted and _clear(read):
            continue
        said = f"it may be {' or '.join(known.values())}; the model reads it as {known[taken]}"
        severity, advice = WARNING, "say which"
        if taken != wanted:
            said += f", and what stands beside it suggests {known[wanted]}"
        else:  # context for the sense that it has gains nothing: benchmarks/label_doctor.py
            wanted = contexts[int(read.argsort()[-2])]
            severity, advice = NOTE, f"leave it if that is meant; if {known[wanted]} is, say so"
        told = f"{label.name}, {known[wanted]}"
        yield Finding(
            "homograph",
            severity,
            (label.name,),
            said,
            f"{advice}, such as {f'{label.name} ({wanted})'!r} with the prompt "
            f"{fill(subject.template, told)!r}.",
            _nearest(subject, i, company, rows[contexts.index(wanted)]),
            {f"cosine to {c}": float(v) for c, v in zip(contexts, read, strict=True)},
        )


def _clear(cosines: Rows) -> bool:
    first, second = np.sort(cosines)[::-1][:2]
    return bool(first - second >= CLEAR)


def _nearest(subject: Subject, place: int, company: list[int], changed: Rows) -> str:
    """The label next to one, before and after it is changed."""
    if not company:
        return ""
    before = subject.vectors[company] @ subject.vectors[place]
    after = subject.vectors[company] @ changed
    one, other = int(before.argmax()), int(after.argmax())
    return (
        f"the label next to it is now {subject.names[company[one]]!r} (cosine "
        f"{before[one]:.2f}), and then {subject.names[company[other]]!r} ({after[other]:.2f})"
    )


# pairs


def pairs(subject: Subject, wanted: list[int]) -> Iterator[Finding]:
    """Pairs that are nearly one label, and pairs that take much from one another."""
    cosines = subject.cosines[np.ix_(wanted, wanted)]
    first, second = np.triu_indices(len(wanted), 1)
    between = cosines[first, second]
    order = np.argsort(-between, kind="stable")
    threshold = subject.at(SYNONYM)
    counts = {"near-synonym": 0, "confused": 0}
    for pair in order:
        cosine = float(between[pair])
        share = subject.share(cosine)
        kind = "near-synonym" if cosine > threshold and share >= SHARE else "confused"
        if share < SHARE:
            break
        counts[kind] += 1
        if counts[kind] <= PAIRS:
            names = (subject.names[wanted[first[pair]]], subject.names[wanted[second[pair]]])
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
    said = (
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
    # The cosine of either to the average of both, by the half angle.
    merged = float(np.sqrt((1 + min(cosine, 1.0)) / 2))
    return Finding(
        kind,
        WARNING if kind == "near-synonym" or share >= LARGE_SHARE else NOTE,
        names,
        said,
        advice,
        f"as one label their {share:.0%} is not lost, and its cosine to either is {merged:.2f}",
        {"cosine": cosine, "usual_part": part, "share": share, "merged": merged},
    )


# too few labels


def alone(subject: Subject) -> Iterator[Finding]:
    if len(subject.names) == 1 and subject.score.rule == "softmax":
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
    far = (subject.neutral @ subject.vectors.T).max(1) < subject.at(SYNONYM)
    pictures = subject.neutral[far] * np.float32(subject.match)
    if not len(pictures):
        return
    neutral = subject.filled(NEUTRAL)
    before = single_label(pictures @ subject.vectors.T, score).max(1)
    with_other = np.vstack([subject.vectors, neutral]).astype(np.float32)
    probabilities = softmax(logits(pictures @ with_other.T, score))
    k = len(subject.names)
    unknown = probabilities[:, k:].sum(1) > probabilities[:, :k].max(1)
    own = subject.vectors * np.float32(subject.match)
    kept = softmax(logits(np.asarray(own @ with_other.T), score))
    right = kept[:, :k].max(1) > kept[:, k:].sum(1)
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
        f"{float(unknown.mean()):.0%} become unknown, and {float(right.mean()):.0%} of the labels "
        "stay themselves",
        {
            "words": len(pictures),
            "sure": sure,
            "unknown": float(unknown.mean()),
            "kept": float(right.mean()),
        },
    )
