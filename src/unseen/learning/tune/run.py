"""One tuning under way: its trainings, and the nets that come of them."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unseen.learning.tune import network as networks
from unseen.learning.tune.figures import Embed, Exam, Figures
from unseen.learning.tune.material import Material
from unseen.learning.tune.options import TuneOptions
from unseen.learning.tune.split import Rows
from unseen.learning.tune.training import Batches, Lesson, TuneProgress, train
from unseen.models.model import Model
from unseen.models.weights.changes import Changes, stored_changes, trainable

if TYPE_CHECKING:
    from unseen.runtimes.trainer import Trainer


@dataclass(frozen=True)
class TunePlan:
    """What a tuning is about to do.

    Parameters
    ----------
    pictures, ordinary : int
        That are learnt from, and that hold the net.
    steps, values : int
        Of the training, and how many numbers it changes.
    seconds_a_step : float
        Of the first one, here.
    megabytes : float
        Of the parameters, their gradients and what the optimiser remembers, without activations.
    own_leash : bool
        Whether the ordinary pictures are the user's.
    """

    pictures: int
    ordinary: int
    steps: int
    values: int
    seconds_a_step: float
    megabytes: float
    own_leash: bool


def settled(model: Model, material: Material, options: TuneOptions, device: str) -> TuneOptions:
    """The options with a number in place of every None."""
    network = model.image_network()
    values = sum(math.prod(shape) for shape in trainable(network).values())
    return options.settled(
        len(material.labelled.readable),
        networks.width_of(network),
        values,
        on_cpu=device == "cpu",
    )


@dataclass(frozen=True, eq=False)
class Tuning:
    """What all steps of a tuning share."""

    model: Model
    material: Material
    options: TuneOptions
    work: Path
    device: str

    @property
    def key(self) -> str:
        """Names everything that a training depends on."""
        facts = {
            "fingerprint": self.model.fingerprint,
            "data": self.material.digest,
            "leash": hashlib.sha256(self.material.anchors.tobytes()).hexdigest(),
            "options": {**asdict(self.options), "leash": None},
            "device": self.device,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def lesson(self, phase: str, rows: Rows) -> Lesson:
        """What a training with some of the labelled pictures learns from."""
        m = self.material
        return Lesson(
            phase,
            m.labelled.pixels,
            m.ordinary.pixels,
            rows,
            m.leash,
            m.data.label_ids,
            m.data.texts,
            m.anchors,
        )

    def trainer(self) -> Trainer:
        """A new one, whose net is the original."""
        from unseen.runtimes.trainer import Objective, Trainer  # noqa: PLC0415 - it loads torch

        score = self.model.score
        leash = self.options.leash_weight if self.holds else 0.0
        return Trainer(
            networks.trainable_network(self.model, self.options, self.device),
            Objective(score.rule, score.scale, score.bias, leash),
            weight_decay=self.options.weight_decay,
        )

    @property
    def holds(self) -> bool:
        """Whether there is a leash at all."""
        return self.options.leash_weight > 0 and len(self.material.leash) > 0

    def trained(
        self,
        phase: str,
        rows: Rows,
        exam: Exam | None,
        on_plan: Callable[[TunePlan], None] | None,
        on_progress: Callable[[TuneProgress], None] | None,
    ) -> Changes:
        """What a training adds to the weights as they are stored."""
        trainer, lesson = self.trainer(), self.lesson(phase, rows)
        if on_plan is not None:
            on_plan(self._plan(trainer, lesson))

        def look() -> dict[str, float | None]:
            assert exam is not None
            figures = Figures.of(exam.marks(trainer.network.embed))
            shares = {"seen": figures.seen, "novel": figures.novel, "retention": figures.retention}
            return {kind: None if s is None else s.value for kind, s in shares.items()}

        train(
            trainer,
            lesson,
            self.options,
            self.work,
            self.key,
            look=None if exam is None else look,
            on_progress=on_progress,
        )
        return stored_changes(self.model.image_network(), trainer.network.changes())

    def _plan(self, trainer: Trainer, lesson: Lesson) -> TunePlan:
        batch = Batches(trainer.network, lesson, self.options, self.work).batch(0)
        began = time.perf_counter()
        trainer.gradient(batch)
        values = trainer.network.trained_values
        return TunePlan(
            len(lesson.rows),
            len(lesson.leash) if self.holds else 0,
            self.options.steps or 0,
            values,
            time.perf_counter() - began,
            16 * values / 1e6,
            self.material.own_leash,
        )

    def embedder(self, changes: Changes, share: float) -> Embed:
        """The net that has a share of the changes, as it would be stored."""
        return networks.embedder(self.model, changes, share, self.device)
