"""The labelling as the page sees it: plain dicts, and decisions that know what they change."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import Picture
from unseen.annotation.retrain import Retraining
from unseen.datasets.labelling_file import NAME
from unseen.errors import UnseenError
from unseen.web.problems import Problem, rfc9457
from unseen.web.review.retrainer import Retrainer

KEYS = 9  # labels that have a key of their own
UNDOS = 10_000  # decisions that can be undone

# The decision about a picture: a verdict, and a label with the verdict "label"; None: open.
Verdict = tuple[str, str | None] | None


class ReviewSession:
    """One labelling under review. For one thread."""

    def __init__(self, folder: Path, name: str = NAME, *, retrain: bool = True) -> None:
        """`retrain`: make proposals anew as answers come. StoreError where there is no such
        labelling."""
        self.labelling = Labelling.open(folder, name)
        self._folder = folder
        self._name = name
        self._open: dict[str, dict[str, dict[str, float]]] = {}  # pile → label → id → score
        self._decided_ids: list[str] = []  # the pictures of the decisions of this run, in order
        self._retrained = self.labelling.retrained
        self.retrainer = Retrainer(self.labelling) if retrain else None
        self.status()

    def close(self) -> None:
        """Ends the retraining, and closes the file."""
        if self.retrainer is not None:
            self.retrainer.close()
        self.labelling.close()

    # what is there

    def next(self, count: int, without: list[str]) -> dict[str, Any]:
        """The most useful pictures; not those that the page has already."""
        pictures = self.labelling.queue(count, exclude=without)
        return {"pictures": [picture_dict(picture) for picture in pictures]}

    def picture(self, id: str) -> Picture:
        """Problem 404."""
        picture = self.labelling.picture(id)
        if picture is None:
            raise Problem(404, "there is no such picture in the labelling.", code="no_such_picture")
        return picture

    def labels(self, pile: str | None = None) -> dict[str, Any]:
        """The labels in order; of a pile with how many pictures are open there, which at first
        takes a look at all of them."""
        names = self.labelling.names
        if pile is None:
            return {"labels": [{"name": name} for name in names]}
        open_scores = self._pile(pile)
        return {"labels": [{"name": n, "open": len(open_scores.get(n, ()))} for n in names]}

    def pile(self, label: str, pile: str, count: int) -> dict[str, Any]:
        """The open pictures of a pile that the model proposes a label for, the least sure first."""
        open_scores = self._pile(pile).get(label, {})
        pictures: list[dict[str, Any]] = []
        for id in sorted(open_scores, key=lambda id: open_scores[id]):
            if len(pictures) == count:
                break
            picture = self.labelling.picture(id)
            if picture is None:  # another process has proposed labels anew
                del open_scores[id]
            elif picture.verdict is None and picture.pile == pile and picture.proposed == label:
                pictures.append(picture_dict(picture))
        return {"label": label, "pile": pile, "total": len(open_scores), "pictures": pictures}

    def status(self) -> dict[str, Any]:
        """How many pictures are reviewed, how often the model was right, and the next commands."""
        status = self.labelling.status()
        if self.retrainer is not None:
            self.retrainer.look(status.verdicts["label"] + status.verdicts["none"])
        facts = self.labelling.retrained
        total = sum(status.piles.values())
        readable = total - status.piles["error"]
        path = str(self.labelling.path).encode("utf-8", "surrogateescape")
        return {
            "key": hashlib.sha256(path).hexdigest()[:16],
            "folder": self.labelling.root.name,
            "name": self._name,
            "total": total,
            "left": max(0, readable - status.reviewed),
            **asdict(status),
            "retrained": _retrained(facts),
            "commands": self.commands(),
        }

    def summary(self, before: int) -> list[str]:
        """What to tell when the page ends. `before`: how many were reviewed when it began."""
        status = self.status()
        now = status["reviewed"]
        rest = f", {status['left']} are left" if status["left"] else ""
        return [
            f"{now} of {status['total']} pictures are reviewed, {now - before} now{rest}.",
            *([f"{status['retrained']['text']}."] if status["retrained"] else []),
            f"next: {status['commands'][0]}",
        ]

    def commands(self) -> list[str]:
        """The commands that use a reviewed labelling."""
        where = shlex.quote(str(self._folder))
        name = "" if self._name == NAME else f" --name {self._name}"
        return [
            f"unseen label export {where}{name} -o dataset/",
            f"unseen distil {where}{name} -o model.onnx",
        ]

    # what changes

    def decide(self, decisions: list[tuple[str, str, str | None, Verdict]]) -> dict[str, Any]:
        """Stores each (id, verdict, label, verdict on the page), in a transaction each."""
        return {
            "results": [self._decide(*decision) for decision in decisions],
            "status": self.status(),
        }

    def _decide(self, id: str, verdict: str, label: str | None, before: Verdict) -> dict[str, Any]:
        try:
            picture = self.picture(id)
            now = verdict_of(picture)
            if now == (verdict, label):  # sent twice, or the same decision elsewhere
                return {"id": id, "saved": True}
            if now != before:
                return {"id": id, "saved": False, "picture": picture_dict(picture)}
            self.labelling.decide(id, verdict, label)
        except UnseenError as error:
            return {"id": id, "saved": False, "problem": rfc9457(Problem.of(error))}
        except Problem as problem:
            return {"id": id, "saved": False, "problem": rfc9457(problem)}
        self._decided_ids = [*self._decided_ids[-UNDOS:], id]
        self._update_piles(id)
        return {"id": id, "saved": True}

    def undo(self, id: str | None) -> dict[str, Any]:
        """Takes the last decision back. With an id, only a decision about that picture: another
        window may have decided since. Problem 409."""
        if id is not None and (not self._decided_ids or self._decided_ids[-1] != id):
            raise Problem(
                409,
                "another window has decided since; go back to the picture and change it there.",
                code="not_the_last",
            )
        undone = self.labelling.undo()
        if undone is None:
            raise Problem(409, "there is no decision to undo.", code="nothing_to_undo")
        if self._decided_ids:
            self._decided_ids.pop()
        self._update_piles(undone)
        picture = self.labelling.picture(undone)
        return {
            "picture": None if picture is None else picture_dict(picture),
            "status": self.status(),
        }

    def add_label(self, name: str) -> dict[str, Any]:
        """Adds a label that the model was not given. Raises LabelError."""
        return {"name": self.labelling.add_label(name)}

    # the piles of open pictures, updated as they change

    def _pile(self, pile: str) -> dict[str, dict[str, float]]:
        retrained = self.labelling.retrained
        if retrained != self._retrained:  # other pictures are in the piles now
            self._open.clear()
            self._retrained = retrained
        if pile not in self._open:
            self._open[pile] = {}
            for picture in self.labelling.pictures(pile=pile):
                self._put(picture)
        return self._open[pile]

    def _update_piles(self, id: str) -> None:
        picture = self.labelling.picture(id)
        if picture is not None:
            self._put(picture)

    def _put(self, picture: Picture) -> None:
        if picture.pile not in self._open or picture.proposed is None:
            return
        open_scores = self._open[picture.pile].setdefault(picture.proposed, {})
        if picture.verdict is None:
            open_scores[picture.id] = picture.score or 0.0
        else:
            open_scores.pop(picture.id, None)


def _retrained(facts: dict[str, Any] | None) -> dict[str, Any] | None:
    """What was learnt from the answers, as the page gets it."""
    if facts is None:
        return None
    retraining = Retraining(**facts)
    return {**facts, "helps": retraining.helps, "text": str(retraining)}


def verdict_of(picture: Picture) -> Verdict:
    """The decision about a picture."""
    return None if picture.verdict is None else (picture.verdict, picture.chosen)


def picture_dict(picture: Picture) -> dict[str, Any]:
    """A picture as the page gets it."""
    return {
        "id": picture.id,
        "name": picture.paths[0],
        "copies": len(picture.paths) - 1,
        "width": picture.width,
        "height": picture.height,
        "ranking": [{"label": n, "score": s} for n, s in picture.ranking[:KEYS]],
        "pile": picture.pile,
        "proposed": picture.proposed,
        "verdict": picture.verdict,
        "chosen": picture.chosen,
    }
