"""What is known of a small classifier: figures with intervals, as data and as a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import ModelError
from unseen.evaluation.bootstrap import proportion
from unseen.evaluation.metrics import ece, nll
from unseen.learning.distil.training import TrainingData, Trial
from unseen.models import families, hub
from unseen.models.description import licence_of
from unseen.models.families import distilled
from unseen.models.hub import BUILTIN
from unseen.prediction.score import softmax
from unseen.system.printable import printable

JUDGED_FROM = 10  # pictures held out, from which two figures are compared
# Of the report of `unseen distil`: what a figure says → its key in the card.
SUMMARY_FIGURES = {
    "agrees with its teacher": "agreement",
    "right, of reviewed pictures": "accuracy",
    "its teacher, of the same": "teacher_accuracy",
    "right, of sure ones drawn for review": "drawn",
}


@dataclass(frozen=True)
class Teacher:
    """The model whose answers were learnt, and its licence.

    Parameters
    ----------
    name : str
        As `unseen.load` takes it, or any name where no model taught.
    revision, fingerprint : str, optional
        Of the model.
    licence : str, optional
        None where it is not known.
    commercial : bool, optional
        Whether it allows commercial use; None where that is left open.
    note : str
        What its model card says of that.
    """

    name: str
    revision: str | None = None
    fingerprint: str | None = None
    licence: str | None = None
    commercial: bool | None = None
    note: str = ""

    @classmethod
    def of(cls, name: str, revision: str | None, fingerprint: str | None) -> Teacher:
        """A teacher with the licence that the catalogue has of it.

        Parameters
        ----------
        name : str
            As `unseen.load` takes it. The licence of a distilled file is that of its own teacher.
        revision, fingerprint : str, optional
            Of the model.

        Returns
        -------
        Teacher
        """
        is_distilled = name.endswith(distilled.SUFFIX) and Path(name).is_file()
        card = {"teacher": {}} | families.read(hub.locate(name)).card if is_distilled else {}
        licence = licence_of(name, card)
        return cls(name, revision, fingerprint, licence.name, licence.commercial, licence.note)

    def require_commercial(self) -> None:
        """Raises ModelError unless its licence is known to allow commercial use."""
        if self.commercial is not True:
            raise ModelError(
                f"{self.name}: its licence is not known to allow commercial use; leave "
                "--commercial out when that allows your use."
            )

    def licence_line(self) -> str:
        """What its licence means for what it taught, as far as that is known.

        Returns
        -------
        str
            A sentence for the model card.
        """
        if self.licence is None:
            return "not known here: read the model's card before you use or pass on what it taught."
        if self.commercial is False:
            return (
                f"{self.licence}, which is for non-commercial use only. Whether it binds what a "
                "model taught is for you, and a lawyer, to say; take it that it does until then."
            )
        if self.commercial is None:
            return f"{self.licence}; whether commercial use is allowed is left open: {self.note}"
        return f"{self.licence}, which allows commercial use."


def share(yes: NDArray[np.bool_]) -> dict[str, Any] | None:
    """How many of how many, with Wilson's 95 % interval; None of none."""
    if not len(yes):
        return None
    low, high = proportion(int(yes.sum()), len(yes))
    return {"right": int(yes.sum()), "of": len(yes), "low": round(low, 4), "high": round(high, 4)}


def figures(
    data: TrainingData, trial: Trial, audited: NDArray[np.bool_], seen: NDArray[np.bool_]
) -> dict[str, Any]:
    """How good the heads of a trial are on the pictures that were held out of them.

    `audited` (n,): reviewed pictures that were drawn at random from those that the teacher was sure
    of. `seen` (n,): those that the teacher had learnt from.
    """
    predicted, rows = trial.logits.argmax(1), trial.rows
    if data.positive is not None:
        return _of_several(data.positive, data, trial, seen)
    y_true, teacher = data.label_ids[rows], data.teacher[rows]
    proposed, reviewed = teacher.any(1), data.reviewed[rows]
    by_teacher = teacher.argmax(1)
    facts: dict[str, Any] = {
        "held_out": len(rows),
        "agreement": share((predicted == by_teacher)[proposed]),
        "accuracy": share((predicted == y_true)[reviewed]),
        "teacher_accuracy": share((by_teacher == y_true)[reviewed & proposed & ~seen[rows]]),
        "seen": int((reviewed & proposed & seen[rows]).sum()),
        "drawn": share((predicted == y_true)[reviewed & audited[rows]]),
        "ece": None,
        "nll": None,
    }
    if reviewed.any():
        probabilities = softmax(trial.logits[reviewed].astype(np.float32))
        facts["ece"] = round(float(ece(probabilities, y_true[reviewed])), 4)
        facts["nll"] = round(float(nll(probabilities, y_true[reviewed])), 4)
    return facts


def _of_several(
    positive: NDArray[np.bool_], data: TrainingData, trial: Trial, seen: NDArray[np.bool_]
) -> dict[str, Any]:
    """As `figures` where a picture may have several labels: right is a likeliest label that it has,
    and F1 is of all labels of all pictures, each given from a probability of one half on."""
    rows, teacher = trial.rows, data.teacher[trial.rows]
    y_true, reviewed, proposed = positive[rows], data.reviewed[rows], teacher.any(1)
    best, by_teacher = trial.logits.argmax(1), teacher.argmax(1)
    each, both = np.arange(len(rows)), reviewed & proposed & ~seen[rows]
    return {
        "held_out": len(rows),
        "agreement": share((best == by_teacher)[proposed]),
        "accuracy": share(y_true[each, best][reviewed]),
        "teacher_accuracy": share(y_true[each, by_teacher][both]),
        "seen": int((reviewed & proposed & seen[rows]).sum()),
        "drawn": None,
        "ece": None,
        "nll": None,
        "f1": _f1(y_true[reviewed], trial.logits[reviewed] >= 0),
        "teacher_f1": _f1(y_true[both], teacher[both] >= 0.5),
    }


def _f1(y_true: NDArray[np.bool_], given: NDArray[np.bool_]) -> float | None:
    total = int(y_true.sum() + given.sum())
    return round(2 * int((y_true & given).sum()) / total, 4) if total else None


def counts(names: Sequence[str], data: TrainingData) -> list[dict[str, Any]]:
    """Of each label, how many pictures taught it: reviewed ones, and those that were proposed."""
    label_ids, k = data.best_label_ids, len(names)
    reviewed = np.bincount(label_ids[data.reviewed], minlength=k)
    if data.positive is not None:
        reviewed = data.positive[data.reviewed].sum(0)
    proposed = np.bincount(label_ids[~data.reviewed], minlength=k)
    return [
        {"label": name, "reviewed": int(r), "proposed": int(p)}
        for name, r, p in zip(names, reviewed, proposed, strict=True)
    ]


def teacher_facts(teacher: Teacher) -> dict[str, Any]:
    """As it stands in a card."""
    return {**asdict(teacher), "means": teacher.licence_line()}


def read_card(file: str | Path) -> dict[str, Any]:
    """The model card in a file of `unseen distil`. Raises ModelError."""
    return families.read(hub.locate(str(file))).card


def text(card: dict[str, Any], file: str) -> str:
    """The page of a card that was read from a file, safe to print. Raises ModelError."""
    try:
        lines = markdown(card, Path(file).name).splitlines()
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(f"{file}: its model card is damaged: {error!r}.") from None
    return "\n".join(printable(line) for line in lines)


def markdown(card: dict[str, Any], name: str) -> str:
    """The card as a page for people."""
    teacher, figures, head = card["teacher"], card["figures"], card["head"]
    revision = f", revision {teacher['revision']}" if teacher["revision"] else ""
    lines = [
        f"# {name}",
        "",
        f"A classifier of {len(card['labels'])} labels, made by `unseen distil` on {card['made']}.",
        *_lost(card["untaught"]),
        "",
        f"- Taught by: {teacher['name']}{revision}",
        f"- Licence of the teacher: {teacher['means']}",
        f"- Image net: {card['image_net']}, pictures of {card['side']} × {card['side']} pixels",
        f"- Head: {_head(head)}",
        f"- Seed: {card['seed']}; made with "
        + ", ".join(f"{library} {version}" for library, version in card["versions"].items()),
        "",
        "## How good it is",
        "",
        f"On {figures['held_out']} pictures that were held out, near-duplicates with them; the "
        "figures are of heads that did not see them. The head in the file was then made in the "
        "same way with all pictures.",
        "",
        "| | | 95 % interval |",
        "|---|---|---|",
        *_row("agrees with its teacher", figures["agreement"]),
        *_row("right, of reviewed pictures", figures["accuracy"]),
        *_row("its teacher, of the same", figures["teacher_accuracy"]),
        *_row("right, of sure ones that were drawn for review", figures["drawn"]),
    ]
    if card["untaught"]:
        lines += ["", "Pictures of the labels that it does not have count in none of these."]
    lines += _learnt(card)
    lines += _several(card)
    if figures["ece"] is not None:
        lines += ["", f"Of reviewed pictures: ECE {figures['ece']:.3f}, NLL {figures['nll']:.3f}."]
    if figures["accuracy"] is not None and card["pictures"]["proposed"]:
        lines += [
            "",
            "Where a review showed doubtful pictures first, both are likely to be right more often "
            "on pictures as they come.",
        ]
    lines += ["", "## How fast", "", *_speed(card["latency"])]
    lines += ["", "## What it learnt from", "", *_training_pictures(card)]
    return "\n".join(lines) + "\n"


def summary_lines(card: dict[str, Any], output: Path) -> Iterator[str]:
    """The report of `unseen distil`: what a classifier learnt from, and how good it is."""
    used, figures, head = card["pictures"], card["figures"], card["head"]
    left_out = ", ".join(f"{n} {why}" for why, n in used["left_out"].items() if n)
    yield (
        f"{len(card['labels'])} labels, from {used['reviewed']} reviewed pictures and "
        f"{used['proposed']} as proposed" + (f"; left out: {left_out}" if left_out else "")
    )
    if card["untaught"]:
        count, names = len(card["untaught"]), printable(", ".join(card["untaught"]))
        yield f"{count} labels have no pictures, and are lost: {names}"
    kind = f"a hidden layer of {head['hidden']}" if head["hidden"] else "linear"
    held_out = (
        f"{figures['held_out']} pictures held out:"
        if figures["held_out"]
        else "no figures, as of each label all pictures are near-duplicates and none is held out"
    )
    yield f"head: {kind}, penalty {head['penalty']:g}; {held_out}"
    for what, key in SUMMARY_FIGURES.items():
        figure = figures[key]
        if figure is not None:
            low, high = 100 * figure["low"], 100 * figure["high"]
            part = f"{100 * figure['right'] / figure['of']:.1f} %"
            yield (
                f"  {what:42} {figure['right']:>5} of {figure['of']:<5} {part:>7} "
                f"({low:.0f} to {high:.0f})"
            )
    yield from _several(card)[1:]
    yield from _learnt(card)[1:]
    if card["latency"] is not None:
        small, large = (card["latency"][key]["net"] for key in ("student_ms", "teacher_ms"))
        ratio = card["latency"]["ratio"]["net"]
        yield (
            f"image net, here: {small:.1f} ms; its teacher's {large:.1f} ms, {ratio:.2f} times that"
        )
    yield f"teacher: {card['teacher']['name']}; its licence: {card['teacher']['means']}"
    yield f"{output}: {card['bytes'] / 1e6:.1f} MB; beside it, {output.stem}.card.md"


def _head(head: dict[str, Any]) -> str:
    kind = f"one hidden layer of {head['hidden']}" if head["hidden"] else "linear"
    return f"{kind}, penalty {head['penalty']:g}, temperature {head['temperature']:g}"


def _row(what: str, figure: dict[str, Any] | None) -> list[str]:
    if figure is None:
        return [f"| {what} | no such pictures | |"]
    part = figure["right"] / figure["of"]
    percent, low, high = (100 * value for value in (part, figure["low"], figure["high"]))
    counts = f"{figure['right']} of {figure['of']}"
    return [f"| {what} | {counts}, {percent:.1f} % | {low:.1f} to {high:.1f} % |"]


def _speed(latency: dict[str, Any] | None) -> list[str]:
    if latency is None:
        return ["Not measured: the teacher is not here."]
    own, other = latency["student_ms"], latency["teacher_ms"]
    return [
        f"The image net, one picture at a time, {latency['threads']} threads, on the machine that "
        f"made it: {own['net']:.1f} ms, of the teacher {other['net']:.1f} ms, "
        f"{latency['ratio']['net']:.2f} times as long. From the file to the answer: "
        f"{own['picture']:.1f} ms, of the teacher {other['picture']:.1f} ms, "
        f"{latency['ratio']['picture']:.2f} times as long.",
        f"Medians of {latency['rounds']} rounds, in turns.",
    ]


def _training_pictures(card: dict[str, Any]) -> list[str]:
    used = card["pictures"]
    lines = [
        f"{used['reviewed']} pictures that a person reviewed, {used['proposed']} as the teacher "
        f"proposed them; left out: "
        + (", ".join(f"{n} {why}" for why, n in used["left_out"].items() if n) or "none")
        + ".",
        "",
        "| label | reviewed | proposed |",
        "|---|---|---|",
    ]
    lines += [
        f"| {_cell(row['label'])} | {row['reviewed']} | {row['proposed']} |"
        for row in card["labels"]
    ]
    return lines


def _lost(untaught: Sequence[str]) -> list[str]:
    """What it cannot say, at the top."""
    if not untaught:
        return []
    names = ", ".join(_cell(name) for name in untaught)
    count = len(untaught)
    return ["", f"**It does not know {count} labels**, of which there were no pictures: {names}."]


def _learnt(card: dict[str, Any]) -> list[str]:
    """What the teacher knew of the pictures that judge."""
    learnt, seen = card["pictures"].get("learnt", 0), card["figures"].get("seen", 0)
    lines = []
    if seen:
        lines.append(
            f"Seen in training: {seen} of the reviewed pictures; its teacher had learnt from them, "
            "so they do not count in the teacher's figure."
        )
    if learnt:
        lines.append(
            f"The teacher had learnt from {learnt} answers of the review. What it proposed for "
            "other pictures taught this classifier, whose figures may be a little too high by that."
        )
    return ["", *lines] if lines else []


def _several(card: dict[str, Any]) -> list[str]:
    """What the figures are where a picture may have several labels."""
    f1, other = (card["figures"].get(key) for key in ("f1", "teacher_f1"))
    if f1 is None:
        return []
    beside = "" if other is None else f"; of its teacher, {other:.3f}"
    return [
        "",
        "A picture may have several labels: right is a likeliest one that it has.",
        f"F1 of all labels, from a probability of .5 on: {f1:.3f}{beside}.",
    ]


def better_buy(card: dict[str, Any], folder: Path) -> str | None:
    """What to do with the same answers, where the teacher is right more often with them."""
    own, teacher = card["figures"]["accuracy"], card["figures"]["teacher_accuracy"]
    if own is None or teacher is None or teacher["of"] < JUDGED_FROM:
        return None
    if "f1" in card["figures"]:  # an adapter learns one label a picture
        return None
    rates = [figure["right"] / figure["of"] for figure in (own, teacher)]
    if rates[1] <= rates[0]:
        return None
    name = card["teacher"]["name"]
    model = "" if name == BUILTIN else f" -m {name}"
    return (
        f"where size and speed do not matter, `unseen adapt {folder}{model} -o mine.safetensors` "
        f"is the better buy: of pictures held out the teacher is right on {100 * rates[1]:.0f} %, "
        f"this classifier on {100 * rates[0]:.0f} %"
    )


def _cell(text: str) -> str:
    """A label in a table: nothing of it is Markdown or HTML."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "|\\`*_[]" else c for c in safe)
