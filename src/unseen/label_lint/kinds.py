"""Labels that are all of one kind: the word for it, which the prompts should have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from unseen.label_lint.context import Subject
from unseen.label_lint.findings import NOTE, Finding
from unseen.label_lint.semantic import senses
from unseen.labels import spelling
from unseen.labels.templates import fill, of_concept
from unseen.prediction.everyday_words import kinds_of, narrowest, species

FEWEST = 3  # labels of a kind, of which it is known
KNOWN_PART = 0.6  # of the labels whose kind must be known
BREEDS = frozenset({"dog", "cat"})  # kinds that are no broad words, and narrower than those above


def run_checks(subject: Subject) -> list[Finding]:
    """All of these checks."""
    return list(of_one_kind(subject))


def of_one_kind(subject: Subject) -> Iterator[Finding]:
    """Proposes a concept where the labels share a kind, and none is given."""
    labels = [subject.labels.labels[i] for i in subject.foreground]
    names = [label.name for label in labels if not label.prompts]
    if subject.labels.concept is not None or len(names) < len(labels):
        return
    kind = shared_kind(names)
    if kind is None:
        return
    model = subject.classifier.model
    patterns = of_concept(subject.labels.templates, model.template, kind)
    double = [name for name in names if spelling.singular_form(name) in senses()]
    meanings = f"; {', '.join(map(repr, double))} may mean something else" if double else ""
    yield Finding(
        "one-kind",
        NOTE,
        tuple(names),
        f"all labels are of one kind, {kind}, and the prompts do not say so{meanings}",
        f"try --concept {kind!r}, or concept: {kind} in the label file, and measure it with "
        "unseen eval.",
        f"a prompt is then {fill(patterns[0], names[0])!r}",
    )


def shared_kind(names: Sequence[str]) -> str | None:
    """The narrowest kind that all labels may belong to whose kind is known, if these are enough."""
    table = species()
    kinds = [_possible_kinds(spelling.singular_form(name), table) for name in names]
    known = [own for own in kinds if own]
    if len(known) < max(FEWEST, KNOWN_PART * len(names)):
        return None
    shared = frozenset.intersection(*known) - {spelling.singular_form(name) for name in names}
    return min(shared & BREEDS, default=None) or narrowest(shared)


def _possible_kinds(word: str, table: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The broad words above a word, in each of its meanings; those of species by the last word."""
    own = table.get(word, frozenset()) or table.get(word.rpartition(" ")[2], frozenset())
    meanings = own.union(senses().get(word, {}))
    return kinds_of(word).union(meanings, *map(kinds_of, meanings))
