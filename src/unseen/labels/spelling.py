"""Forms of a label that follow from its letters alone; English, where it is about words."""

from __future__ import annotations

import re
import string

ARTICLES = ("a", "an", "the")
IRREGULAR = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "people": "person",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "oxen": "ox",
    "dice": "die",
    "knives": "knife",
    "wives": "wife",
    "lives": "life",
    "leaves": "leaf",
    "wolves": "wolf",
    "calves": "calf",
    "loaves": "loaf",
    "shelves": "shelf",
    "scarves": "scarf",
    "halves": "half",
    "potatoes": "potato",
    "tomatoes": "tomato",
    "heroes": "hero",
    "buses": "bus",
    "cacti": "cactus",
    "fungi": "fungus",
}
# Singular words that end like a plural.
NO_PLURALS = {"bus", "glass", "glasses", "gas", "lens", "cactus", "octopus", "walrus", "news"}
NO_PLURALS |= {"scissors", "pliers", "trousers", "jeans", "binoculars", "stairs", "tennis"}
NO_PLURALS |= {"chess", "dress", "compass", "cross", "grass", "moss", "brass", "canvas", "iris"}

NEGATIONS = {"no", "not", "without", "never", "non", "nor", "neither", "lacks", "lacking", "minus"}
NEGATIONS |= {"except", "excluding", "cannot", "none", "nobody", "nothing"}
# Names of things that can be seen: the word of negation is a part of the name.
NAMES_WITH_NO = re.compile(
    r"\bno[- ](entry|parking|smoking|stopping|swimming|u-turn|trespassing)\b|forget[- ]me[- ]not",
    re.IGNORECASE,
)
CATCH_ALL = {"other", "others", "none", "unknown", "misc", "miscellaneous", "background", "rest"}
CATCH_ALL |= {"anything else", "something else", "everything else", "none of these", "nothing"}
CATCH_ALL |= {"none of above", "not applicable", "na", "negative", "no object", "no label"}

PICTURE_FILE = re.compile(r"\.(jpe?g|png|gif|webp|bmp|tiff?|heic)$", re.IGNORECASE)
FILE = re.compile(
    r"\.(jpe?g|png|gif|webp|bmp|tiff?|heic|txt|csv|json)$"
    r"|^(img|dsc|dscn|pxl|image|photo|frame|screenshot)[_-]?\d+|/|\\",
    re.IGNORECASE,
)
NUMBER = re.compile(r"n\d{8}|[a-z]?\d+|(class|label|category|id)[ _-]?\d+|[a-z]", re.IGNORECASE)
CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
LEAD = re.compile(
    r"^(?:this is |here is |there is )?(?:an? |the )?(?:\w+ )?"
    r"(photo|photograph|picture|image|drawing|painting|sketch|close-?up|screenshot)s? of ",
    re.IGNORECASE,
)
SENTENCE_WORDS = 8


def normal(name: str) -> str:
    """Small letters, no punctuation, no articles: what two spellings of one label share."""
    text = re.sub(r"[_\-/]+", " ", CAMEL.sub(" ", name)).casefold()
    text = text.translate(str.maketrans("", "", string.punctuation))
    return " ".join(word for word in text.split() if word not in ARTICLES)


def singular(word: str) -> str:
    """Of one English word in small letters; a word of no known form stays as it is."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word in NO_PLURALS or len(word) < 4 or not word.endswith("s") or word.endswith("ss"):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if re.search(r"(ch|sh|x|ss|zz)es$", word):
        return word[:-2]
    return word if word.endswith(("us", "is")) else word[:-1]


def singular_form(name: str) -> str:
    """The normal form, its last word in the singular."""
    words = normal(name).split()
    return " ".join([*words[:-1], singular(words[-1])]) if words else ""


def words_of(text: str) -> list[str]:
    """Small letters; a hyphen or an apostrophe is part of a word."""
    return re.findall(r"[\w'’-]+", text.casefold())


def negations(text: str) -> list[str]:
    """The words of a text that deny something."""
    return [word for word in words_of(NAMES_WITH_NO.sub("", text)) if _denies(word)]


def _denies(word: str) -> bool:
    return word in NEGATIONS or word.startswith("non-") or word.replace("’", "'").endswith("n't")


def positive(text: str) -> str:
    """The text as it would be if nothing were denied: "a street without cars", "… with cars"."""
    words = []
    for word in text.split():
        bare = word.strip(string.punctuation).casefold()
        if bare == "without":
            words.append(word.casefold().replace("without", "with"))
        elif bare.startswith("non-"):
            words.append(word[4:])
        elif not _denies(bare):
            words.append(word)
    return " ".join(words)


def spelled_out(name: str) -> str:
    """Underscores and joined capitals as spaces: frying_pan, FryingPan → frying pan."""
    apart = " ".join(CAMEL.sub(" ", name.replace("_", " ")).split())
    return apart.lower() if CAMEL.search(name) else apart


def without_lead(name: str) -> str | None:
    """What follows "a photo of", when a label begins so."""
    match = LEAD.match(name)
    return name[match.end() :] if match else None


def without_article(name: str) -> str | None:
    """What follows "a", "an" or "the", when a label begins so."""
    first, _, rest = name.partition(" ")
    return rest if first.casefold() in ARTICLES and rest else None


def pieces(text: str) -> list[str]:
    """A text apart at the ends of its sentences and clauses."""
    return [part for part in re.split(r"(?<=[.;!?])\s+|,\s+", text) if part.strip()]
