"""Prompt templates: strings with `{}` in the place of the label, and the named sets of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache

from unseen.errors import LabelError
from unseen.system.packaged import packaged
from unseen.system.printable import shown

SHOWN_CHARS = 80  # of a wrong template, in a message
MAX_CONCEPT_CHARS = 100
VOWELS = "aeiou"


def fill(template: str, label: str) -> str:
    """Every `{}` replaced by the label, and nothing else: `str.format` would obey the template."""
    return template.replace("{}", label)


def filled_length(template: str, label: str) -> int:
    """The characters of `fill(template, label)`, which may be far more than those of both."""
    return len(template) + template.count("{}") * (len(label) - 2)


@cache
def _template_sets() -> dict[str, list[str]]:
    text = packaged("data/templates.json").read_text("utf-8")
    sets: dict[str, list[str]] = json.loads(text)
    return sets


def template_names() -> list[str]:
    """The names of the template sets that come with the package, sorted."""
    return sorted(_template_sets())


def templates(template: str | Sequence[str]) -> tuple[str, ...]:
    """A template, several templates, or the name of a set → templates that each hold `{}`."""
    if isinstance(template, str):
        template_set = _template_sets().get(template)
        if template_set is None and "{}" not in template:
            raise LabelError(
                f"the template {template[:SHOWN_CHARS]!r} has no {{}} for the label and is not the "
                f"name of a set; the sets are: {', '.join(template_names())}."
            )
        return tuple(template_set or [template])
    if not template:
        raise LabelError("the list of templates is empty; give at least one, with {} in it.")
    for pattern in template:
        if not isinstance(pattern, str) or "{}" not in pattern:
            raise LabelError(
                f"the template {shown(pattern, SHOWN_CHARS)} has no {{}} for the label."
            )
    return tuple(template)


def concept_word(concept: object) -> str:
    """The concept of a label set, in one line. LabelError for what is none."""
    if not isinstance(concept, str) or not concept.strip() or "{}" in concept:
        raise LabelError(
            f"the concept is {shown(concept, SHOWN_CHARS)}; it is a word or two for what all "
            "labels are a kind of, such as bird."
        )
    word = " ".join(concept.split())
    if len(word) > MAX_CONCEPT_CHARS:
        raise LabelError(
            f"the concept has {len(word)} characters; at most {MAX_CONCEPT_CHARS} are allowed."
        )
    return word


def of_concept(
    patterns: tuple[str, ...] | None, default_template: str, concept: str
) -> tuple[str, ...]:
    """Templates that say what kind of thing each label is: crane → "a crane, a type of bird".

    Without templates of the set there are two: the concept before the label, as in "a photo of a
    bird: a crane.", and behind it.
    """
    article = "an" if concept[0].lower() in VOWELS else "a"
    before = () if patterns else (f"a photo of {article} {concept}: a {{}}.",)
    behind = tuple(
        pattern.replace("{}", f"{{}}, a type of {concept}")
        for pattern in patterns or (default_template,)
    )
    return (*before, *behind)
