"""The known checkpoints and their short names, as data: data/models.json, data/aliases.json."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from unseen.errors import ModelError
from unseen.system.packaged import packaged

# How transformers' names say what OpenCLIP's (ViT-B-32, RN50) say.
SIZES = {"base": "b", "large": "l", "huge": "h", "patch": "", "resnet": "rn"}
TELLING = 4  # letters and digits of a part of a name that tell which model is meant
MANY = "mul"  # ISO 639-2's code for many languages: more than a card counts


@dataclass(frozen=True)
class KnownModel:
    """What is known of a checkpoint before it is downloaded.

    Parameters
    ----------
    id, family : str
        Of the hub, and a row of `families.FAMILIES`.
    architecture : str
        open_clip's name of it where that has one, and otherwise one like those.
    domain : str
        What it was trained for: "general", or a kind of picture.
    parameters_millions : float
        Of both nets.
    image_size : int
        The side of the picture that the image net takes, in pixels.
    gflops : float
        Of the image net for one picture; a multiplication and an addition are two.
    licence : str
        As the model card names it, by its SPDX name where it has one.
    commercial : bool or None
        Whether it allows commercial use; None where licence and card leave it open, and the note
        says why.
    languages : tuple of str
        ISO codes, or `MANY`.
    imagenet_top1 : float or None
        Percent, zero-shot, as published.
    source : str or None
        Of that figure.
    download_mb : int
        Of 10^6 bytes, rounded: the weights.
    note : str
        What else to know.
    checked : bool
        Whether licence and note were read on its own page.
    doubt : str
        If not: where they are from.
    """

    id: str
    family: str
    architecture: str
    domain: str
    parameters_millions: float
    image_size: int
    gflops: float
    licence: str
    commercial: bool | None
    languages: tuple[str, ...]
    imagenet_top1: float | None
    source: str | None
    download_mb: int
    note: str = ""
    checked: bool = True
    doubt: str = ""

    @property
    def multilingual(self) -> bool:
        """Whether labels may be in more than one language."""
        return MANY in self.languages or len(self.languages) > 1


@dataclass(frozen=True)
class Alias:
    """A short name for a checkpoint, and why it is this one."""

    name: str
    id: str
    reason: str


def _read(name: str) -> Any:
    return json.loads(packaged(f"data/{name}").read_text("utf-8"))


@cache
def models() -> tuple[KnownModel, ...]:
    """Every row, in the order of the file."""
    return tuple(
        KnownModel(**{**row, "languages": tuple(row["languages"])}) for row in _read("models.json")
    )


@cache
def aliases() -> tuple[Alias, ...]:
    """Every short name, in the order of the file."""
    return tuple(Alias(name, **row) for name, row in _read("aliases.json").items())


def find(model: str) -> KnownModel | None:
    """The row of an id. Upper and lower case are the same, as on the hub."""
    model_id = model.casefold()
    return next((row for row in models() if row.id.casefold() == model_id), None)


def resolve(name: str) -> str:
    """A short name → its id, `short@revision` → `id@revision`; anything else is left as it is."""
    short, at, revision = name.partition("@")
    ids = {alias.name: alias.id for alias in aliases()}
    return f"{ids[short]}{at}{revision}" if short in ids else name


def select(
    *,
    licence: str | None = None,
    max_mb: float | None = None,
    multilingual: bool = False,
    commercial: bool = False,
    domain: str | None = None,
    architecture: str | None = None,
    min_top1: float | None = None,
    max_gflops: float | None = None,
) -> tuple[KnownModel, ...]:
    """The rows that fit everything asked for, upper and lower case being the same.

    `commercial`: those that certainly allow it. `architecture`: a part of the name. A row without
    a figure for ImageNet reaches no `min_top1`.
    """
    return tuple(
        model
        for model in models()
        if (licence is None or model.licence.casefold() == licence.casefold())
        and (max_mb is None or model.download_mb <= max_mb)
        and (not multilingual or model.multilingual)
        and (not commercial or model.commercial is True)
        and (domain is None or model.domain == domain.casefold())
        and (architecture is None or architecture.casefold() in model.architecture.casefold())
        and (min_top1 is None or (model.imagenet_top1 or 0.0) >= min_top1)
        and (max_gflops is None or model.gflops <= max_gflops)
    )


def check_domain(domain: str) -> None:
    """ModelError for a domain that no row has."""
    domains = dict.fromkeys(model.domain for model in models())
    if domain.casefold() not in domains:
        raise ModelError(
            f"no known checkpoint is of the domain {domain!r}; there are {', '.join(domains)}."
        )


def check_licence(licence: str) -> None:
    """ModelError for a licence that no row has: more likely a slip than a wish."""
    licences = {model.licence for model in models()}
    if licence.casefold() not in {name.casefold() for name in licences}:
        listed = ", ".join(sorted(licences, key=str.casefold))
        raise ModelError(f"no known checkpoint has the licence {licence!r}; there are {listed}.")


def suggest(name: str) -> list[str]:
    """Known ids and short names that are meant by `name`, or look like it: at most two."""
    known = [model.id for model in models()] + [alias.name for alias in aliases()]
    canonical = {one: _canonical(one) for one in known}
    typed = _canonical(name)
    without_owner = _canonical(name.rpartition("/")[2])
    meant = [
        one
        for one in known
        if typed in (canonical[one], _canonical(one.rpartition("/")[2]))
        or (len(typed) >= TELLING and typed in canonical[one])
        or (len(without_owner) >= TELLING and canonical[one].endswith(without_owner))
    ]
    import difflib  # noqa: PLC0415 - for a mistake alone

    similar = difflib.get_close_matches(name, known, 2, 0.6)
    # A name of letters and digits alone is compared with others of that kind.
    by_letters = difflib.get_close_matches(typed, canonical.values(), 2, 0.8)
    similar += [one for one in known if canonical[one] in by_letters]
    return list(dict.fromkeys([*meant, *similar]))[:2]


def _canonical(name: str) -> str:
    """Letters and digits of a name, with sizes as OpenCLIP abbreviates them."""
    text = name.casefold()
    for word, letter in SIZES.items():
        text = text.replace(word, letter)
    return re.sub("[^a-z0-9]", "", text)
