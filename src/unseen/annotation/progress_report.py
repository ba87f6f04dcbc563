"""How far a labelling is, and how good: as data for JSON, and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from unseen.annotation.labelling import Audit, Labelling, Status
from unseen.annotation.pictures import ERROR, NONE, SURE, UNSURE
from unseen.annotation.retrain import Retraining
from unseen.system.printable import printable

SHOWN = 20  # labels of a table
NAMED = 5  # labels without a picture that are named
LEVELS = (0.9, 0.95, 0.99)  # stricter thresholds, of which the report says what they would do


@dataclass(frozen=True)
class LabellingProgress:
    """What a labelling holds; `str` gives the report of `unseen label info`.

    `counts`: pictures of each label, and of "" those without one. `audits`: the audit of each of
    the stricter thresholds. `failures`: pictures that could not be read, and why. `retrained`: what
    was learnt from the answers.
    """

    file: str
    manifest: Mapping[str, Any]
    names: tuple[str, ...]
    status: Status
    counts: Mapping[str, int]
    audits: Mapping[float, Audit | None]
    failures: Sequence[tuple[str, str]]
    retrained: Mapping[str, Any] | None = None

    @property
    def doubtful(self) -> int:
        """Pictures that the model is not sure of."""
        return self.status.piles[UNSURE] + self.status.piles[NONE]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "labelling": self.file,
            "model": self.manifest["model"],
            "fingerprint": self.manifest["fingerprint"],
            "options": self.manifest["options"],
            **asdict(self.status),
            "retrained": self.retrained,
            "audit_from": {
                str(level): audit and asdict(audit) for level, audit in self.audits.items()
            },
            "labels": {name: self.counts.get(name, 0) for name in self.names},
            "without_label": self.counts.get("", 0),
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        status = self.status
        piles = ", ".join(
            f"{count} {'none of these' if pile == NONE else pile}"
            for pile, count in status.piles.items()
            if count or pile in (SURE, UNSURE)
        )
        yield f"{sum(status.piles.values())} pictures: {piles}"
        labelled = Counter({name: count for name, count in self.counts.items() if name})
        for name, count in labelled.most_common(SHOWN):
            yield f"  {count:>7}  {printable(name)}"
        if len(labelled) > SHOWN:
            rest = labelled.most_common()[SHOWN:]
            pictures = sum(count for _, count in rest)
            yield f"  {pictures:>7}  of {len(rest)} other labels; --json has all"
        idle = [name for name in self.names if not labelled.get(name)]
        if idle:
            shown = ", ".join(idle[:NAMED]) + (", …" if len(idle) > NAMED else "")
            yield f"no picture of {len(idle)} labels: {printable(shown)}"
        if status.reviewed:
            yield from self._reviewed()

    def _reviewed(self) -> Iterator[str]:
        status, verdicts = self.status, self.status.verdicts
        retrained = None if self.retrained is None else Retraining(**self.retrained)
        anew = retrained is not None and retrained.helps
        right = "the proposals are right" if anew else "the model was right"
        reviewed = (
            f"reviewed: {status.reviewed} ({verdicts['label']} got a label, {verdicts['none']} "
            f"none of these, {verdicts['skip']} skipped)"
        )
        if status.judged or not status.seen:
            reviewed += f"; {right} on {status.right} of {status.judged}, doubtful ones first"
        yield reviewed
        if status.seen:
            yield self._seen()
        if retrained is not None:
            held_out = (
                f"; right on {retrained.right} of these, each by what the others taught; the model "
                f"by itself on {retrained.model_right}"
            )
            yield f"{retrained}{held_out if anew else ''}"
        if status.audit is None:
            yield "of the sure pile nothing was reviewed at random yet"
            return
        yield f"sure pile, at random: {_share(status.audit)}"
        for level, audit in self.audits.items():
            if audit is not None and audit.reviewed < status.audit.reviewed:
                yield f"  only from {level:g} on: {_share(audit)}"

    def _seen(self) -> str:
        """Of reviewed pictures that what proposed had learnt from."""
        held_out = self.manifest["options"].get("adapter_held_out")
        figure = (
            f"; while it was made, it was right on {held_out['right']} of {held_out['of']} that "
            "were held out"
            if held_out
            else ""
        )
        return (
            f"seen in training: {self.status.seen} of the reviewed pictures; what proposed had "
            f"learnt from them, so they count in no figure{figure}"
        )


def progress_of(labelling: Labelling) -> LabellingProgress:
    """What a labelling holds. Reads each of its pictures' rows."""
    counts: Counter[str] = Counter()
    failures = []
    for picture in labelling.pictures():
        counts[picture.label or ""] += picture.pile != ERROR
        if picture.error is not None:
            failures.append((picture.paths[0], picture.error))
    return LabellingProgress(
        str(labelling.path),
        labelling.manifest,
        tuple(labelling.names),
        labelling.status(),
        counts,
        {level: labelling.audit(level) for level in LEVELS},
        failures,
        labelling.retrained,
    )


def _share(audit: Audit) -> str:
    return (
        f"right on {audit.right} of {audit.reviewed}, so {audit.low:.0%} to {audit.high:.0%} of all"
    )
