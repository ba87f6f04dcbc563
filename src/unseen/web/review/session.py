"""The labelling as the page sees it: plain dicts, and decisions that know what they change."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from unseen.annotation.labelling import NAME, Labelling
from unseen.annotation.pictures import Picture
from unseen.errors import UnseenError
from unseen.web.server.core.problems import Problem, rfc9457

KEYS = 9  # labels that have a key of their own
UNDOS = 10_000  # decisions that are remembered, to be taken back

# What was decided of a picture: a verdict, and a label with the verdict "label"; None: nothing.
Decided = tuple[str, str | None] | None


class Desk:
    """One labelling under review. For one thread."""

    def __init__(self, folder: Path, name: str = NAME) -> None:
        """StoreError where there is no such labelling."""
        self.labelling = Labelling.open(folder, name)
        self._folder = folder
        self._name = name
        self._open: dict[str, dict[str, dict[str, float]]] = {}  # pile → label → id → score
        self._made: list[str] = []  # the pictures of the decisions of this run, in order

    def close(self) -> None:
        """Closes the file."""
        self.labelling.close()

    # what is there

    def next(self, count: int, without: list[str]) -> dict[str, Any]:
        """The most useful pictures; not those that the page has already."""
        found = self.labelling.queue(count, exclude=without)
        return {"pictures": [shown(picture) for picture in found]}

    def picture(self, id: str) -> Picture:
        """Problem 404."""
        found = self.labelling.picture(id)
        if found is None:
            raise Problem(404, "there is no such picture in the labelling.", code="no_such_picture")
        return found

    def labels(self, pile: str | None = None) -> dict[str, Any]:
        """The labels in order; of a pile with how many pictures are open there, which at first
        takes a look at all of them."""
        names = self.labelling.names
        if pile is None:
            return {"labels": [{"name": name} for name in names]}
        there = self._pile(pile)
        return {"labels": [{"name": n, "open": len(there.get(n, ()))} for n in names]}

    def pile(self, label: str, pile: str, count: int) -> dict[str, Any]:
        """The open pictures of a pile that the model proposes a label for, the least sure first."""
        there = self._pile(pile).get(label, {})
        pictures: list[dict[str, Any]] = []
        for id in sorted(there, key=lambda id: there[id]):
            if len(pictures) == count:
                break
            found = self.labelling.picture(id)
            if found is None:  # another process has proposed anew
                del there[id]
            elif found.verdict is None and found.pile == pile and found.proposed == label:
                pictures.append(shown(found))
        return {"label": label, "pile": pile, "total": len(there), "pictures": pictures}

    def status(self) -> dict[str, Any]:
        """How far it is, how often the model was right, and what comes after."""
        status = self.labelling.status()
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
            "commands": self.commands(),
        }

    def commands(self) -> list[str]:
        """What to do with what was reviewed."""
        where = shlex.quote(str(self._folder))
        name = "" if self._name == NAME else f" --name {self._name}"
        return [
            f"unseen label export {where}{name} -o dataset/",
            f"unseen distil {where}{name} -o model.onnx",
        ]

    # what changes

    def decide(self, decisions: list[tuple[str, str, str | None, Decided]]) -> dict[str, Any]:
        """Each (id, verdict, label, what the page takes it for now), a transaction of its own."""
        return {"results": [self._decide(*one) for one in decisions], "status": self.status()}

    def _decide(self, id: str, verdict: str, label: str | None, before: Decided) -> dict[str, Any]:
        try:
            picture = self.picture(id)
            now = decided(picture)
            if now == (verdict, label):  # sent twice, or decided the same elsewhere
                return {"id": id, "saved": True}
            if now != before:
                return {"id": id, "saved": False, "picture": shown(picture)}
            self.labelling.decide(id, verdict, label)
        except UnseenError as error:
            return {"id": id, "saved": False, "problem": rfc9457(Problem.of(error))}
        except Problem as problem:
            return {"id": id, "saved": False, "problem": rfc9457(problem)}
        self._made = [*self._made[-UNDOS:], id]
        self._moved(id)
        return {"id": id, "saved": True}

    def undo(self, id: str | None) -> dict[str, Any]:
        """Takes the last decision back. With an id only when it is of that picture: another
        window may have decided since. Problem 409."""
        if id is not None and (not self._made or self._made[-1] != id):
            raise Problem(
                409,
                "something else was decided since, in another window; go back to the picture and "
                "change it there.",
                code="not_the_last",
            )
        found = self.labelling.undo()
        if found is None:
            raise Problem(409, "nothing was decided yet.", code="nothing_to_undo")
        if self._made:
            self._made.pop()
        self._moved(found)
        picture = self.labelling.picture(found)
        return {
            "picture": None if picture is None else shown(picture),
            "status": self.status(),
        }

    def add_label(self, name: str) -> dict[str, Any]:
        """A label that the model does not know, as it is written. LabelError."""
        return {"name": self.labelling.add_label(name)}

    # the piles of open pictures, kept as they change

    def _pile(self, pile: str) -> dict[str, dict[str, float]]:
        if pile not in self._open:
            self._open[pile] = {}
            for picture in self.labelling.pictures(pile=pile):
                self._put(picture)
        return self._open[pile]

    def _moved(self, id: str) -> None:
        picture = self.labelling.picture(id)
        if picture is not None:
            self._put(picture)

    def _put(self, picture: Picture) -> None:
        if picture.pile not in self._open or picture.proposed is None:
            return
        there = self._open[picture.pile].setdefault(picture.proposed, {})
        if picture.verdict is None:
            there[picture.id] = picture.score or 0.0
        else:
            there.pop(picture.id, None)


def decided(picture: Picture) -> Decided:
    """What was decided of it."""
    return None if picture.verdict is None else (picture.verdict, picture.chosen)


def shown(picture: Picture) -> dict[str, Any]:
    """A picture, for the page."""
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
