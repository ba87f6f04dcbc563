"""Which labels are not in the language that a model reads: by script, and by everyday words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

from unseen.models.hub import BUILTIN_FOLDER
from unseen.models.tokenizers.tokenizer import TokenizerSpec
from unseen.system.packaged import packaged

# Languages of one script → how Unicode names its letters.
SCRIPTS = {"en": ("LATIN",), "zh": ("CJK",)}
ENGLISH = "en"
# Parts of the labels with a word of another language: enough by themselves, and enough where more
# than such a part of all words is unknown.
MANY, SOME, UNKNOWN = 0.5, 0.2, 0.5
# Letters that English words do not have, nor those that it took from French or Spanish. German
# writes its nouns with a capital; elsewhere a capital begins a name, which says little.
GERMAN_LETTERS = re.compile("[äöüß]")
OTHER_LETTERS = re.compile("[åøæąćęłńśźżčďěňřšťůžőűğışțș]")
# Letters of words that English took as well: such a word counts where English has it not, neither
# in one piece nor here.
ACCENTS = re.compile("[áàâãéèêëíìîïóòôõúùûñç]")
LOANS = frozenset(
    re.findall(
        r"\w+",
        """açaí appliqué blasé brûlée café cafés château châteaux cliché clichés consommé crème
        crêpe crêpes croûton croûtons décor décolletage divorcée entrée entrées exposé
        façade façades fiancé fiancée flambé fricassée frappé garçon glacé habañero jalapeño
        jalapeños lamé lycée macramé maître mañana mâché matinée naïve née négligée pâté
        piñata piñatas pokémon portière protégé purée ragoût résumé risqué rosé roué sauté
        sautéed señor señora soirée soufflé soufflés touché voilà""",
    )
)


@cache
def _other_words() -> frozenset[str]:
    text = packaged("data/other_languages.txt").read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return frozenset(word for line in lines for word in line.partition(":")[2].split())


def foreign_labels(names: Sequence[str], languages: Sequence[str]) -> list[str]:
    """The labels that are not in the one language of a model; none where it has several.

    A label of another script is always one. By its words a single label tells little, as many
    names are foreign: such labels count where they are half of all; or a fifth, when most words of
    the set are none that the English vocabulary has whole. benchmarks/label_language.py measures
    both on sets that the lists of words were not made from.

    Parameters
    ----------
    names : sequence of str
        The labels.
    languages : sequence of str
        ISO codes of the languages that the model reads.

    Returns
    -------
    list of str
        In order.

    Examples
    --------
    >>> foreign_labels(["Hund", "Katze", "Maus"], ["en"])
    ['Hund', 'Katze', 'Maus']
    >>> foreign_labels(["dachshund", "pizza", "собака"], ["en"])
    ['собака']
    """
    if len(languages) != 1 or languages[0] not in SCRIPTS:
        return []
    other_script = [name for name in names if script(name) not in (None, *SCRIPTS[languages[0]])]
    other_words = [
        name
        for name in names
        if name not in other_script and languages[0] == ENGLISH and _has_other_word(name)
    ]
    part = (len(other_words) + len(other_script)) / max(len(names), 1)
    many = part >= MANY or (part >= SOME and _unknown_part(names) > UNKNOWN)
    return [name for name in names if name in other_script or (many and name in other_words)]


def script(text: str) -> str | None:
    """The script of most letters of a text, as Unicode names it; None without letters."""
    letters = Counter(unicodedata.name(c, "?").split()[0] for c in text if c.isalpha())
    return letters.most_common(1)[0][0] if letters else None


def _has_other_word(name: str) -> bool:
    return any(_is_other(word) for word in _written(name))


def _is_other(word: str) -> bool:
    small = word.casefold()
    if small in _other_words() or GERMAN_LETTERS.search(small):
        return True
    if not word.islower():
        return False
    foreign = OTHER_LETTERS.search(word)
    return bool(foreign or (ACCENTS.search(word) and word not in LOANS and not _whole(word)))


def _whole(word: str) -> bool:
    """Whether the English vocabulary has a word, without its accents, in one piece."""
    return _pieces([word])[0] == 1


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _written(text)]


def _written(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", unicodedata.normalize("NFC", text))


def _unknown_part(names: Sequence[str]) -> float:
    """Of all words, those that the built-in model's vocabulary, which is English, has in pieces."""
    words = [word for name in names for word in _words(name)]
    return sum(pieces > 1 for pieces in _pieces(words)) / max(len(words), 1)


def _pieces(words: Sequence[str]) -> list[int]:
    """Of each word, how many pieces it has in that vocabulary."""
    (*ids, one), _ = _english().encode([*words, "cat"])
    return [1 + len(row) - len(one) for row in ids]


@cache
def _english() -> TokenizerSpec:
    return TokenizerSpec(str(BUILTIN_FOLDER))
