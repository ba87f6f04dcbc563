"""Labels that work, and are probably not what was meant: a line each, with what to do.

These cost nothing to find. `label_lint` has them too, with many more, and with what they change.
"""

from __future__ import annotations

import re
import string
from collections import defaultdict
from collections.abc import Iterator, Sequence

from unseen.labels import languages, spelling
from unseen.labels.label_set import LabelSet
from unseen.labels.templates import fill
from unseen.models import catalog
from unseen.models.model import Model, Score, Tokens
from unseen.system import cache

SHOWN = 3  # labels that a line names
UNKNOWN_TOKENS = ("[UNK]", "<unk>")
# What a tokenizer that reads ASCII reads for sure: WordPiece takes no word of more characters.
ASCII_NAME = re.compile(r"[ -~]{1,100}")
READS_ASCII = "ascii-1"  # begins the key under which that is remembered: raise it where it changes
# Paiss et al. 2023, arXiv:2302.12066: CLIP does not tell how many of a thing a picture shows.
COUNTS = "one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
COUNTED = re.compile(rf"({'|'.join(COUNTS)}|[1-9]\d?) (\w+[\w ]*)", re.IGNORECASE)


def traps(label_set: LabelSet, model: Model) -> Iterator[str]:
    """What is to be said of a label set, for this model.

    Parameters
    ----------
    label_set : LabelSet
        The labels, with their templates.
    model : Model
        What reads them.

    Yields
    ------
    str
        A sentence or two.
    """
    if model.labels:
        return  # it has only its own
    words = tuple(label.name for label in label_set.labels if not label.prompts)
    files = [name for name in words if spelling.PICTURE_FILE.search(name)]
    if files:
        yield (
            f"{_shown(files)} looks like the name of a picture, and is used as a label; pictures "
            "are given first, labels are words: unseen classify photo.jpg --labels cat,dog."
        )
    patterns = label_set.templates or (model.template,)
    plain = {name: without_prompt(name, patterns[0]) for name in words}
    doubled = [name for name in words if plain[name] and patterns[0].partition("{}")[0]]
    if doubled:
        yield (
            f"{_shown(doubled)}: a prompt already, and the template makes "
            f"{fill(patterns[0], doubled[0])!r} of it; write {plain[doubled[0]]!r}, or use prompts "
            "as they stand with the template {} (--template {})."
        )
    counted = counts(words)
    if counted:
        yield (
            f"{_shown(counted)}: models like this one hardly count, and tell the thing but not how "
            "many; make them one label, and count with a detector."
        )
    foreign = foreign_labels(words, model)
    if foreign:
        yield (
            f"{_shown(foreign)}: {model.name} does not read this language, so that answers mean "
            "little; translate the labels, or take a multilingual model (unseen models "
            "--multilingual)."
        )


def alone(names: Sequence[str], score: Score) -> bool:
    """Whether a label competes with nothing, and has 100 % whatever a picture shows."""
    return len(names) == 1 and score.rule == "softmax"


def without_prompt(name: str, template: str) -> str | None:
    """What a template should be given for "a photo of a cat"; None for a label without such a lead.

    The article goes too, where the template brings one.
    """
    inner = spelling.without_lead(name)
    if inner is not None and ends_in_article(template):
        return spelling.without_article(inner) or inner
    return inner


def ends_in_article(template: str) -> bool:
    """Whether an article stands before the place of the label."""
    before = template.partition("{}")[0].split()
    return bool(before) and before[-1].casefold() in spelling.ARTICLES


def counts(names: Sequence[str]) -> list[str]:
    """Labels that say how many of a thing there are: with a plural, or beside another number."""
    by_thing: defaultdict[str, list[str]] = defaultdict(list)
    several = set()
    for name in names:
        match = COUNTED.fullmatch((spelling.without_lead(name) or name).strip())
        if match is None:
            continue
        thing = spelling.singular_form(match[2])
        by_thing[thing].append(name)
        is_one = match[1].casefold() in ("one", "1")
        if not is_one and thing != spelling.normal(match[2]):
            several.add(name)
    several.update(name for same in by_thing.values() if len(same) > 1 for name in same)
    return [name for name in names if name in several]


def foreign_labels(names: Sequence[str], model: Model) -> list[str]:
    """Labels that the text net does not know: by the languages of a known model, or unread."""
    known = catalog.find(model.name)
    foreign = {*languages.foreign_labels(names, known.languages if known else ())}
    unsure = [n for n in names if not (ASCII_NAME.fullmatch(n) and reads_ascii(model))]
    foreign |= {*_unread(unsure, model.tokenizer)}
    return [name for name in names if name in foreign]


def reads_ascii(model: Model) -> bool:
    """Whether a tokenizer has a token for each character of ASCII, also behind each letter.

    Found out once, and remembered for the model: to read a tokenizer's files takes 30 to 500 ms,
    and labels that were encoded before need none.
    """
    key = f"{READS_ASCII}-{model.fingerprint}"
    remembered = cache.recall(key)
    if remembered is None:
        characters = [chr(code) for code in range(ord(" "), ord("~") + 1)]
        pairs = [letter + c for letter in string.ascii_letters for c in characters]
        remembered = "some" if any(_unread(characters + pairs, model.tokenizer)) else "all"
        cache.remember(key, remembered)
    return remembered == "all"


def _unread(texts: Sequence[str], tokenizer: Tokens) -> Iterator[str]:
    """The texts in which a token stands for what the tokenizer cannot read."""
    if not texts:
        return
    ids, _ = tokenizer.encode(texts)
    unknown = unknown_tokens(tokenizer)
    yield from (text for text, row in zip(texts, ids, strict=True) if unknown & {*row})


def unknown_tokens(tokenizer: Tokens) -> set[int]:
    """The ids that stand for what the tokenizer cannot read."""
    ids = (tokenizer.token_id(token) for token in UNKNOWN_TOKENS)
    return {token_id for token_id in ids if token_id is not None}


def _shown(names: Sequence[str]) -> str:
    first = ", ".join(map(repr, names[:SHOWN]))
    return f"{first} and {len(names) - SHOWN} more" if len(names) > SHOWN else first
