"""What is known of a model, as text: one of the table of known checkpoints, or the whole table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unseen.errors import ModelError
from unseen.models import catalog, hub
from unseen.models.checkpoint import TUNE_CARD
from unseen.system.regular_file import read_text

USE = {True: "yes", False: "no", None: "?"}
COMMERCIAL_USE = {True: "allowed", False: "not allowed", None: "left open"}


@dataclass(frozen=True)
class ModelFacts:
    """A row of the table of known checkpoints, its short names, and whether it is downloaded.

    `str` gives lines for people.
    """

    model: catalog.KnownModel
    aliases: tuple[catalog.Alias, ...]
    here: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            **asdict(self.model),
            "multilingual": self.model.multilingual,
            "aliases": [alias.name for alias in self.aliases],
            "here": self.here,
        }

    def facts(self) -> dict[str, str]:
        """What is known, by what it is called; what is not known is empty."""
        model = self.model
        top1 = f"{model.imagenet_top1} % ({model.source})" if model.source else ""
        return {
            "model": model.id,
            "family": model.family,
            "architecture": model.architecture,
            "domain": model.domain,
            "parameters": f"{model.parameters_millions:g} million",
            "picture": f"{model.image_size} x {model.image_size}",
            "work a picture": f"{model.gflops:,g} GFLOPs",
            "download": size_text(model.download_mb),
            "on this machine": "yes" if self.here else "no",
            "licence": model.licence,
            "commercial use": COMMERCIAL_USE[model.commercial],
            "languages": ", ".join(model.languages).replace(catalog.MANY, "many"),
            "ImageNet top-1": top1,
            "note": model.note,
            "not checked": model.doubt,
        }

    def __str__(self) -> str:
        lines = [f"{name:<15}  {value}" for name, value in self.facts().items() if value]
        lines += [f"{'short name':<15}  {alias.name}: {alias.reason}" for alias in self.aliases]
        return "\n".join(lines)


def describe(model: catalog.KnownModel) -> ModelFacts:
    """A row of the table, with what depends on this machine and on the short names."""
    aliases = tuple(alias for alias in catalog.aliases() if alias.id == model.id)
    return ModelFacts(model, aliases, is_downloaded(model.id))


def describe_name(name: str) -> ModelFacts:
    """What is known of a hub id or short name. Raises ModelError for one that is not in the table.

    >>> from unseen.models.description import describe_name
    >>> describe_name("fast").model.family
    'siglip'
    """
    known = catalog.find(catalog.resolve(name))
    if known is None:
        similar = catalog.suggest(name)
        hint = (
            f"did you mean {' or '.join(similar)}?" if similar else "`unseen models` lists those."
        )
        raise ModelError(f"{name!r} is not one of the known checkpoints; {hint}")
    return describe(known)


def comparison(models: Sequence[ModelFacts]) -> Iterator[str]:
    """A table of several models side by side: a line a fact, a column a model."""
    columns = [
        facts.facts() | {"short names": ", ".join(alias.name for alias in facts.aliases)}
        for facts in models
    ]
    rows = [[name, *(column[name] or "-" for column in columns)] for name in columns[0]]
    rows = [row for row in rows if set(row[1:]) != {"-"}]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(f"{cell:<{n}}" for cell, n in zip(row, widths, strict=True)).rstrip()


@dataclass(frozen=True)
class Licence:
    """The licence of a model's weights. None: not known; `commercial` None: left open."""

    name: str | None
    commercial: bool | None
    note: str = ""


def licence_of(name: str, card: Mapping[str, Any]) -> Licence:
    """The licence of a model by its name and card.

    That of a distilled one is its teacher's, and that of a tuned folder its original's.
    """
    if name == hub.BUILTIN:
        return Licence("Apache-2.0", True)
    if "teacher" in card:
        teacher = card["teacher"]
        note = str(teacher.get("note") or "")
        return Licence(teacher.get("licence"), teacher.get("commercial"), note)
    known = catalog.find(name.partition("@")[0])
    if known is None:
        base = _original(name)
        return Licence(base.get("licence"), base.get("commercial"), str(base.get("note") or ""))
    return Licence(known.licence, known.commercial, known.note)


def _original(name: str) -> dict[str, Any]:
    """What a folder of `unseen tune` says of the model that it was; nothing of any other."""
    try:
        base = json.loads(read_text(Path(name).expanduser() / TUNE_CARD))["base"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return base if isinstance(base, dict) else {}


def accuracy_of(name: str, card: Mapping[str, Any]) -> str:
    """How good a model is, as far as its card or the catalogue says: a sentence, or "".

    >>> accuracy_of("openai/clip-vit-base-patch32", {})
    'ImageNet top-1 without training: 63.3 % (open_clip, docs/openclip_results.csv).'
    """
    figures = card.get("figures") if isinstance(card.get("figures"), dict) else None
    if figures is not None:
        sentences = [
            f"{what} on {figure['right']} of {figure['of']} pictures that were held out "
            f"(95 % interval {100 * figure['low']:.0f} to {100 * figure['high']:.0f} %)"
            for what, key in (("Right", "accuracy"), ("Agrees with its teacher", "agreement"))
            if (figure := figures.get(key)) is not None
        ]
        return "; ".join(sentences) + "." if sentences else ""
    known = catalog.find(name.partition("@")[0])
    if known is None:
        return ""
    if known.imagenet_top1 is not None:
        return f"ImageNet top-1 without training: {known.imagenet_top1} % ({known.source})."
    return f"{known.note[:1].upper()}{known.note[1:]}." if known.note else ""


def is_downloaded(model: str) -> bool:
    """As `hub.is_here`, whose library takes a while to load, asked only when there is a trace."""
    if model == hub.BUILTIN:
        return True
    return (hub_folder() / f"models--{model.replace('/', '--')}").is_dir() and hub.is_here(model)


def hub_folder() -> Path:
    """Where huggingface_hub keeps models, by its own rules."""
    environment = os.environ
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    home = environment.get("HF_HOME") or f"{cache}/huggingface"
    named = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE")
    return Path(os.path.expandvars(named or f"{home}/hub")).expanduser()


def size_text(megabytes: float) -> str:
    """The size of a download.

    >>> from unseen.models.description import size_text
    >>> size_text(0), size_text(600), size_text(1530)
    ('none', '600 MB', '1.5 GB')
    """
    if megabytes == 0:
        return "none"
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes} MB"


def table(models: Sequence[ModelFacts]) -> Iterator[str]:
    """A table as wide as its longest id needs; what varies most in length stands last."""
    rows = [facts.model for facts in models]
    sources = list(dict.fromkeys(row.source for row in rows if row.source))
    width = max(len(row.id) for row in rows)
    yield f"  {'model':<{width}} {'download':>8} {'px':>4}  {'top-1':<8} {'use':<3} licence"
    for facts in models:
        row = facts.model
        top1 = ""
        if row.imagenet_top1 is not None and row.source is not None:
            top1 = f"{row.imagenet_top1:.1f} [{sources.index(row.source) + 1}]"
        yield (
            f"{'*' if facts.here else ' '} {row.id:<{width}} {size_text(row.download_mb):>8} "
            f"{row.image_size:>4}  {top1:<8} {USE[row.commercial]:<3} {row.licence}"
        )
    yield ""
    yield "* on this machine; px: side of the picture; use: whether commercial use is allowed,"
    yield "? where licence and model card leave it open (`unseen models info ID` says why)"
    if sources:
        yield "top-1: zero-shot on ImageNet in percent, as published in"
    for number, source in enumerate(sources, 1):
        yield f"  [{number}] {source}"
    ids = {row.id for row in rows}
    if short := [alias for alias in catalog.aliases() if alias.id in ids]:
        yield "short names, for -m as well:"
    for alias in short:
        yield f"  {alias.name:<12} {alias.id}"
