"""The steps of a training: batches, learning rate, a log, and a state from which to go on."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import LabelError
from unseen.learning.tune.options import TuneOptions
from unseen.learning.tune.pictures import Pixels, augmented, mapped
from unseen.learning.tune.split import Rows
from unseen.system.cache import write_atomically
from unseen.system.safetensors_file import FileFormat
from unseen.types import Floats

if TYPE_CHECKING:
    from unseen.runtimes.trainer import Batch, Trainer
    from unseen.runtimes.training import TrainableNetwork

STATE = FileFormat("unseen-tune-state-1", "state of a training")
WARM_UP = 20  # steps
LOG_EVERY = 10  # steps
LOOKS = 6  # at the held-out pictures while it trains
WRITING_PART = 0.05  # of the time, at most, goes into states


@dataclass(frozen=True)
class TuneProgress:
    """Where a training is; what `on_progress` is given.

    Parameters
    ----------
    phase : str
        "trial", whose figures are reported, or "final", with all pictures.
    step, steps : int
        Done, and of how many.
    loss : float
        Of the last batch.
    seen, novel, retention : float, optional
        The figures when they were last measured, from 0 to 1.
    """

    phase: str
    step: int
    steps: int
    loss: float
    seen: float | None = None
    novel: float | None = None
    retention: float | None = None


@dataclass(frozen=True, eq=False)
class Lesson:
    """What a training learns from.

    Parameters
    ----------
    phase : str
        "trial" or "final".
    labelled, ordinary : uint8 array
        Pictures, of which the following rows are used.
    rows, leash : int array
        Of the labelled pictures, and of the ordinary ones.
    label_ids : sequence of sequence of int
        The labels of every labelled picture.
    texts : float32 array (k, d)
        Of the labels.
    anchors : float32 array
        Where every ordinary picture was.
    """

    phase: str
    labelled: Pixels
    ordinary: Pixels
    rows: Rows
    leash: Rows
    label_ids: Sequence[Sequence[int]]
    texts: Floats
    anchors: Floats


Look = Callable[[], dict[str, float | None]]  # the figures of the net as it is now


def train(
    trainer: Trainer,
    lesson: Lesson,
    options: TuneOptions,
    folder: Path,
    key: str,
    *,
    look: Look | None = None,
    on_progress: Callable[[TuneProgress], None] | None = None,
) -> None:
    """Train a network, from where an earlier process of the same training stopped.

    Parameters
    ----------
    trainer : Trainer
        Holds the network.
    lesson : Lesson
        What it learns from.
    options : TuneOptions
        Settled ones.
    folder : Path
        Of the states and the log.
    key : str
        Names everything that the result depends on: a state of another key is not gone on from.
    look : callable, optional
        Measures the net as it is now.
    on_progress : callable, optional
        Called after each step.
    """
    assert options.steps is not None and options.learning_rate is not None
    state, log = folder / f"{lesson.phase}.safetensors", folder / f"{lesson.phase}.jsonl"
    step = _restored(trainer, state, key)
    lines = [line for line in _lines(log) if line["step"] <= step]
    figures: dict[str, float | None] = {}
    batches = Batches(trainer.network, lesson, options, folder)
    written, cost = time.monotonic(), 0.0
    for number in range(step, options.steps):
        rate = learning_rate(number, options.steps, options.learning_rate)
        losses = trainer.step(batches.batch(number), rate)
        done = number + 1
        is_last = done == options.steps
        if not math.isfinite(losses.whole):
            raise LabelError(
                f"the loss is no number after {done} steps: the learning rate {rate:.1e} is too "
                "large for this model; give a smaller one."
            )
        is_look = look is not None and (is_last or done % max(options.steps // LOOKS, 1) == 0)
        if is_look and look is not None:
            figures = look()
        if is_look or done % LOG_EVERY == 0 or is_last:
            rounded = {k: None if v is None else round(v, 4) for k, v in figures.items()}
            losses_of = {k: round(v, 6) for k, v in asdict(losses).items()}
            lines.append({"step": done, "rate": rate, **losses_of, **(rounded if is_look else {})})
        if on_progress is not None:
            shown = TuneProgress(lesson.phase, done, options.steps, losses.whole, **figures)
            on_progress(shown)
        if is_last or time.monotonic() - written > cost / WRITING_PART:
            began = time.monotonic()
            _write(log, lines)
            STATE.write(state, STATE.to_bytes(trainer.state(), {"key": key, "step": done}))
            written = time.monotonic()
            cost = written - began


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Up to the highest in a line, then down to nothing along a cosine."""
    warm = min(WARM_UP, max(steps // 5, 1))
    return highest * min(1.0, (step + 1) / warm) * (1 + math.cos(math.pi * step / steps)) / 2


def _restored(trainer: Trainer, state: Path, key: str) -> int:
    """How many steps are done: 0 where there is no state of this training."""
    if not state.is_file():
        return 0
    try:
        facts, arrays = STATE.from_bytes(STATE.read(state), str(state), lambda *both: both)
    except LabelError:  # of a version that wrote others
        return 0
    if facts.get("key") != key:
        return 0
    trainer.restore(arrays, facts["step"])
    step: int = facts["step"]
    return step


def _lines(log: Path) -> list[dict[str, Any]]:
    if not log.is_file():
        return []
    return [json.loads(line) for line in log.read_text("utf-8").splitlines()]


def _write(log: Path, lines: Sequence[dict[str, Any]]) -> None:
    write_atomically(log, "".join(json.dumps(line) + "\n" for line in lines).encode())


class Batches:
    """The batch of each step, which follows from its number and the seed alone."""

    def __init__(
        self, network: TrainableNetwork, lesson: Lesson, options: TuneOptions, folder: Path
    ) -> None:
        """What the steps before the trained ones give is computed once, unless pictures change."""
        self._network = network
        self._lesson = lesson
        self._seed = options.seed
        self._augment = options.augment
        self._size = min(options.batch, len(lesson.rows))
        self._leash_size = min(options.leash_batch, len(lesson.leash))
        self._labelled, self._ordinary = (
            () if name == "labelled" and self._augment else self._computed(pixels, folder, name)
            for pixels, name in ((lesson.labelled, "labelled"), (lesson.ordinary, "ordinary"))
        )
        self._orders: dict[int, NDArray[np.intp]] = {}

    def _computed(self, pixels: Pixels, folder: Path, name: str) -> tuple[NDArray[Any], ...]:
        if not len(pixels):
            return ()
        return mapped(lambda part: self._network.lower(part), pixels, folder, name)

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""
        from unseen.runtimes.trainer import Batch  # noqa: PLC0415 - it loads torch

        lesson = self._lesson
        rng = np.random.default_rng((self._seed, 2, step))
        rows = self._rows(step)
        chosen = [int(rng.choice(lesson.label_ids[row])) for row in rows]
        positive = np.array([[c in lesson.label_ids[row] for c in chosen] for row in rows])
        leash = rng.choice(lesson.leash, self._leash_size, replace=False)
        if self._augment:
            pixels = augmented(np.asarray(lesson.labelled[rows]), rng)
            values = list(self._network.lower(pixels))
        else:
            values = [array[rows] for array in self._labelled]
        if len(leash):
            ordinary = [array[leash] for array in self._ordinary]
            values = [np.concatenate(pair) for pair in zip(values, ordinary, strict=True)]
        return Batch(values, lesson.texts[chosen], positive, lesson.anchors[leash])

    def _rows(self, step: int) -> Rows:
        """Every picture once, in an order drawn anew, before any comes again."""
        count = len(self._lesson.rows)
        places = np.arange(step * self._size, (step + 1) * self._size)
        return np.array(
            [self._lesson.rows[self._order(place // count)[place % count]] for place in places]
        )

    def _order(self, epoch: int) -> NDArray[np.intp]:
        if epoch not in self._orders:
            rng = np.random.default_rng((self._seed, 3, epoch))
            # Only the last two are needed: a batch may lie across the end of one.
            self._orders = {e: o for e, o in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = rng.permutation(len(self._lesson.rows))
        return self._orders[epoch]
