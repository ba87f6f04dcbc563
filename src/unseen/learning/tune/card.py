"""What is known of a tuned model, for people: a page that model hubs show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from unseen.learning.tune.figures import JUDGED
from unseen.models.description import licence_of
from unseen.models.model import Model

TITLES = {
    "seen": "right, of labels that it learnt",
    "novel": "right, of labels that it did not learn",
    "retention": "answers about ordinary pictures that stayed, of those that it was sure of",
    "answers": "the same, of all",
}


def base_facts(model: Model) -> dict[str, Any]:
    """The original, and its licence, which the tuned model inherits.

    Parameters
    ----------
    model : Model
        The original.

    Returns
    -------
    dict
        Plain data.
    """
    licence = licence_of(model.name, model.card)
    return {
        "model": model.name,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "family": model.family,
        "licence": licence.name,
        "commercial": licence.commercial,
        "note": licence.note,
    }


def page(card: Mapping[str, Any], name: str) -> str:
    """The card as Markdown.

    Parameters
    ----------
    card : mapping
        As `tune.json` has it.
    name : str
        Of the tuned model.

    Returns
    -------
    str
    """
    base = card["base"]
    revision = f", revision {base['revision']}" if base["revision"] else ""
    lines = [
        "---",
        *([f"base_model: {base['model']}"] if "/" in base["model"] else []),
        "tags: [zero-shot-image-classification, clip]",
        "---",
        "",
        f"# {name}",
        "",
        f"{base['model']}{revision} ({base['fingerprint'][:12]}), tuned by `unseen tune`.",
        "",
        f"- Licence of the original, which binds this model: {_licence(base)}",
        *_made(card),
        "",
        "## What it is right about",
        "",
        *_figures(card),
        "",
        "## How much of the training it has",
        "",
        *_curve(card),
    ]
    return "\n".join(lines) + "\n"


def _licence(base: Mapping[str, Any]) -> str:
    if base["licence"] is None:
        return "not known here: read the original's card before you use or pass on this model."
    use = {True: "", False: " (no commercial use)", None: " (commercial use is left open)"}
    return f"{base['licence']}{use[base['commercial']]}"


def _made(card: Mapping[str, Any]) -> Iterator[str]:
    data, options = card["data"], card["options"]
    yield (
        f"- Learnt from: {data['pictures']} pictures of {data['texts']} "
        f"{'captions' if data['pairs'] else 'labels'}, digest {data['digest'][:16]}"
    )
    yield f"- Leash: {_leash(card['leash'])}"
    how = f"LoRA of rank {options['rank']}" if options["rank"] else "all weights"
    if options["blocks"]:
        how += f" of the last {options['blocks']} blocks"
    yield (
        f"- Trained: {how} of the image net, {options['steps']} steps of {options['batch']} "
        f"pictures, learning rate {options['learning_rate']:.1e}, seed {options['seed']}"
    )
    yield f"- Share of the training that it has: α = {card['alpha']:g}"


def _leash(leash: Mapping[str, Any]) -> str:
    what = "pictures of the user's own" if leash["own"] else "pictures that were drawn"
    return f"{leash['pictures']} ordinary {what}, weight {leash['weight']:g}"


def _figures(card: Mapping[str, Any]) -> Iterator[str]:
    yield "On pictures that neither taught it nor chose α, with 95 % intervals:"
    yield ""
    adapter = card["adapter"] or dict.fromkeys(TITLES)
    yield "| | before | an adapter | after |"
    yield "|---|---|---|---|"
    for kind, title in TITLES.items():
        cells = [_share(figures[kind]) for figures in (card["before"], adapter, card["after"])]
        yield f"| {title} | {' | '.join(cells)} |"
    if card["refit"]:
        yield ""
        yield (
            "These are figures of a net that was trained without those pictures. The weights here "
            "were then trained in the same way with all of them; of ordinary pictures they keep "
            f"{_share(card['final_retention'])}."
        )


def _share(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    part = figure["right"] / figure["of"]
    return f"{part:.3f} ({figure['low']:.3f} to {figure['high']:.3f}), of {figure['of']}"


def _curve(card: Mapping[str, Any]) -> Iterator[str]:
    yield "On the pictures that chose α:"
    yield ""
    yield "| α | seen | novel | retention | allowed |"
    yield "|---|---|---|---|---|"
    for point in card["curve"]:
        cells = [_value(point[kind]) for kind in JUDGED]
        mark = " **taken**" if point["alpha"] == card["alpha"] else ""
        allowed = "yes" if point["allowed"] else "no"
        yield f"| {point['alpha']:g}{mark} | {' | '.join(cells)} | {allowed} |"


def _value(figure: Mapping[str, Any] | None) -> str:
    return "-" if figure is None else f"{figure['right'] / figure['of']:.3f}"


def soup_page(card: Mapping[str, Any], name: str) -> str:
    """The card of a mean of several tunings as Markdown.

    Parameters
    ----------
    card : mapping
        As `tune.json` has it.
    name : str
        Of the model.

    Returns
    -------
    str
    """
    base, right = card["base"], card["right"]
    lines = [
        f"# {name}",
        "",
        f"The mean of {len(card['soup'])} tunings of {base['model']} ({base['fingerprint'][:12]}), "
        "made by `unseen models soup`.",
        "",
        f"- Licence of the original, which binds this model: {_licence(base)}",
        f"- Mean of: {', '.join(card['soup'])}",
    ]
    if right is not None:
        lines.append(f"- Right, of the pictures that chose them: {_share(right)}")
    return "\n".join(lines) + "\n"
