"""Samples in time → events: of a file when all is read, of a stream as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from unseen.labels.label_set import UNKNOWN
from unseen.video.paths import (
    MOST_LABELS,
    YES,
    Confusions,
    FixedLag,
    Made,
    best_path,
    competing,
    fit_weight,
    fit_weights,
    margins,
    most_of,
    neighbours_of,
    noise_of,
    pieces,
    posteriors,
    price_of,
    repeat_weights,
    temperature_of,
    yes_or_no,
)
from unseen.video.prediction import Event, Peak

if TYPE_CHECKING:
    from unseen.types import Doubles, Floats, Indices

LAG = 2.0  # of the shortest event: then a sample of a stream is decided at the latest
REMEMBERED = 500  # samples of a stream that say how sure the model is
UPDATE_SECONDS = 10.0  # from one update of an event that goes on to the next


@dataclass(frozen=True)
class States:
    """What the samples of a video are told apart by.

    Parameters
    ----------
    names : tuple of str
        The k labels that a sample has a probability of; `unknown` among them is no event.
    thresholds : float32 array (k,), optional
        None: the labels compete. Else each is a yes or no of its own, yes from its threshold on.
    """

    names: tuple[str, ...]
    thresholds: Floats | None = None

    def evidence(self, probabilities: Floats, temperature: float | None = None) -> Doubles:
        """(n, k) probabilities → (n, chains, states), as `paths` has it."""
        if self.thresholds is None:
            return competing(probabilities, temperature)
        return yes_or_no(probabilities, self.thresholds)

    @property
    def learns(self) -> bool:
        """Whether it is learnt what spoiled samples of each label are taken for."""
        return self.thresholds is None and len(self.names) <= MOST_LABELS

    def label(self, chain: int, state: int) -> int | None:
        """The label that a chain has in a state; None where nothing happens in it."""
        if self.thresholds is not None:
            return chain if state == YES else None
        return None if self.names[state] == UNKNOWN else state


def find_events(
    source: str,
    states: States,
    times: Doubles,
    end: float,
    probabilities: Floats,
    pictures: Indices,
    *,
    min_seconds: float,
    fits: Doubles | None = None,
) -> tuple[Event, ...]:
    """The events of a video, by start.

    Parameters
    ----------
    source : str
        The name of the video.
    states : States
        The k labels.
    times : float64 array (n,)
        Of the samples, in seconds, ascending.
    end : float
        When the video ends, in seconds.
    probabilities : float32 array (m, k)
        Of the m pictures that differ.
    pictures : int64 array (n,)
        Which of them each sample shows, ascending.
    min_seconds : float
        The shortest event that is wanted.
    fits : float64 array (m,), optional
        The best logit of each picture. One far below those before and after it counts for less.
    """
    if len(times) == 0:
        return ()
    shortest = max(1.0, min_seconds * _rate(times, end))
    path, sureness = _path(states, probabilities, pictures, fits, shortest)
    until = np.append(times[1:], max(end, float(times[-1])))
    events = []
    for chain in range(path.shape[1]):
        changes = np.flatnonzero(np.diff(path[:, chain])) + 1
        for run in np.split(np.arange(len(times)), changes):
            state = int(path[run[0], chain])
            label = states.label(chain, state)
            if label is None:
                continue
            p = probabilities[pictures[run], label]
            best = int(p.argmax())
            peak = Peak(float(times[run[best]]), float(p[best]))
            score = float(sureness[run, chain].mean())
            start, stop = float(times[run[0]]), float(until[run[-1]])
            events.append(Event(source, states.names[label], start, stop, score, peak))
    return tuple(sorted(events, key=lambda event: (event.start, event.end)))


def _path(
    states: States, probabilities: Floats, pictures: Indices, fits: Doubles | None, shortest: float
) -> tuple[Indices, Doubles]:
    """The state of each chain at each sample, and how probable it is, both (n, chains)."""
    temperature = None if states.thresholds is not None else temperature_of(margins(probabilities))

    def of_pictures(rows: slice | Indices) -> Doubles:
        return states.evidence(probabilities[rows], temperature)

    def of_samples(rows: slice) -> Doubles:
        return np.asarray(of_pictures(pictures[rows]) * weights[rows, None, None])

    price = price_of(shortest, Made(len(probabilities), of_pictures))
    shown = np.bincount(pictures)[pictures]
    weights = repeats = repeat_weights(shown, shortest)
    evidence = Made(len(pictures), of_samples)
    if fits is None or states.thresholds is not None:
        path = best_path(evidence, price)
        return path, posteriors(evidence, price, path)
    fit = fit_weights(fits[pictures], shortest, price)
    fit = np.where(shown >= shortest, np.maximum(fit, 1.0), fit)  # a slide, and not a bad moment
    weights = repeats * fit
    path = best_path(evidence, price)
    if states.learns:
        noise = repeats * noise_of(fit)
        confusions = Confusions(len(states.names))
        for rows in pieces(len(pictures)):
            looks = np.exp(of_pictures(pictures[rows])[:, 0])
            confusions.add(path[rows, 0], looks, noise[rows])

        def with_confusions(rows: slice) -> Doubles:
            alone = of_pictures(pictures[rows])
            addition = noise[rows, None] * confusions.evidence(np.exp(alone[:, 0]))
            return np.asarray(alone * weights[rows, None, None] + addition[:, None])

        evidence = Made(len(pictures), with_confusions)
        path = best_path(evidence, price)
    return path, posteriors(evidence, price, path)


def _rate(times: Doubles, end: float) -> float:
    """Samples a second: by the median of their distances, as a file may have gaps."""
    if len(times) < 2:
        return 1.0 / max(end, 1.0)
    return 1.0 / max(float(np.median(np.diff(times))), 1e-3)


@dataclass(frozen=True)
class EventChange:
    """What a stream tells: an event that is new, that goes on, or that has ended.

    The event has its `id` from its start on; the `end` of one that goes on is the last sample that
    was decided.
    """

    type: Literal["new", "update", "end"]
    event: Event


@dataclass(frozen=True)
class Decided:
    """A sample of a stream, once it is known what happens at its time.

    Parameters
    ----------
    time : float
        In seconds.
    labels : dict of str to float
        What happens, and the probability of each of these labels in the sample itself.
    """

    time: float
    labels: dict[str, float]


@dataclass
class _Ongoing:
    """An event that has not ended: the sum of how probable its samples are, and how many."""

    event: Event
    sum: float
    samples: int
    reported: float  # the time of the last change


@dataclass
class EventStream:
    """The events of a stream, as they come.

    Each sample is decided when the paths to it agree, or twice the shortest event later.

    Parameters
    ----------
    source : str
        The name of the stream.
    states : States
        The k labels.
    every : float
        Seconds from one sample to the next, about.
    min_seconds : float
        The shortest event that is wanted.
    price : float, optional
        Of a change, λ. None: by the shortest event, and a usual margin.

    Examples
    --------
    >>> import numpy as np
    >>> stream = EventStream("door", States(("person", "unknown")), every=1.0, min_seconds=2.0)
    >>> probabilities = np.float32([[0.1, 0.9]] * 4 + [[0.9, 0.1]] * 6 + [[0.1, 0.9]] * 6)
    >>> changes = [c for t, p in enumerate(probabilities) for c in stream.add(float(t), p)]
    >>> [(c.type, c.event.label, c.event.start, c.event.end) for c in changes]
    [('new', 'person', 4.0, 4.0), ('end', 'person', 4.0, 10.0)]
    """

    source: str
    states: States
    every: float
    min_seconds: float
    price: float | None = None
    decided: list[Decided] = field(default_factory=list, init=False)  # by the last call
    _path: FixedLag = field(init=False)
    _waiting: list[tuple[float, Floats, Doubles, float]] = field(default_factory=list, init=False)
    _ongoing: dict[int, _Ongoing] = field(default_factory=dict, init=False)
    _margins: deque[float] = field(init=False)
    _fits: deque[float] = field(init=False)
    _most: float = field(init=False)
    _confusions: Confusions | None = field(init=False)

    def __post_init__(self) -> None:
        shortest = max(1.0, self.min_seconds / max(self.every, 1e-3))
        price = self.price or price_of(shortest)
        self._margins = deque(maxlen=REMEMBERED)
        self._fits, self._most = deque(maxlen=neighbours_of(shortest)), most_of(price)
        self._path = FixedLag(price, max(1, round(LAG * shortest)))
        self._confusions = Confusions(len(self.states.names)) if self.states.learns else None

    def add(
        self,
        time: float,
        probabilities: Floats,
        weight: float = 1.0,
        fit: float | None = None,
        fit_weight: float = 1.0,
    ) -> list[EventChange]:
        """One more sample.

        Parameters
        ----------
        time : float
            In seconds, later than that of the sample before.
        probabilities : float32 array (k,)
            Of the labels.
        weight : float
            How much the sample counts, 0…1: less, where its picture is repeated.
        fit : float, optional
            Its best logit: where that is far below those before it, it counts for less, too.
        fit_weight : float
            What `weigh` gave for it, instead of `fit`.

        Returns
        -------
        list of EventChange
            What is known now, the oldest first; mostly nothing.
        """
        fit_weight = fit_weight if fit is None else self.weigh(fit)
        noise = weight * float(noise_of(np.array(fit_weight)))
        self._margins.append(float(margins(probabilities[None])[0]))
        temperature = temperature_of(np.array(self._margins))
        evidence = self.states.evidence(probabilities[None], temperature)[0]
        looks = np.exp(evidence[:1])
        self._waiting.append((time, probabilities, looks, noise))
        evidence = weight * fit_weight * evidence
        if self._confusions is not None and noise:
            evidence = evidence + noise * self._confusions.evidence(looks)
        return self._changes(self._path.add(evidence))

    def weigh(self, fit: float) -> float:
        """How much a sample counts by its best logit, which the next ones are compared with."""
        if self.states.thresholds is not None:
            return 1.0
        self._fits.append(fit)
        return fit_weight(np.array(self._fits), self._most)

    def finish(self, time: float) -> list[EventChange]:
        """What is known as the stream has ended, or was interrupted, at a time.

        Parameters
        ----------
        time : float
            In seconds.

        Returns
        -------
        list of EventChange
            All events that were going on end.
        """
        changes = self._changes(self._path.finish())
        for label in [*self._ongoing]:
            changes.append(self._end(label, time))
        return changes

    def _changes(self, decided: Sequence[tuple[Indices, Doubles]]) -> list[EventChange]:
        changes = []
        self.decided = []
        for (path, sureness), (time, p, looks, noise) in zip(decided, self._waiting, strict=False):
            if self._confusions is not None and noise:
                self._confusions.add(path, looks, np.array([noise]))
            present = {
                label: float(sureness[chain])
                for chain, state in enumerate(path)
                if (label := self.states.label(chain, int(state))) is not None
            }
            labels = {self.states.names[label]: float(p[label]) for label in present}
            self.decided.append(Decided(time, labels))
            changes += [
                self._end(label, time) for label in [*self._ongoing] if label not in present
            ]
            for label, probability in present.items():
                change = self._go_on(label, time, float(p[label]), probability)
                changes += [change] if change else []
        del self._waiting[: len(decided)]
        return changes

    def _go_on(
        self, label: int, time: float, score: float, probability: float
    ) -> EventChange | None:
        ongoing = self._ongoing.get(label)
        if ongoing is None:
            name = self.states.names[label]
            event = Event(self.source, name, time, time, probability, Peak(time, score))
            self._ongoing[label] = _Ongoing(event, probability, 1, time)
            return EventChange("new", event)
        ongoing.sum += probability
        ongoing.samples += 1
        peak = ongoing.event.peak
        ongoing.event = replace(
            ongoing.event,
            end=time,
            score=ongoing.sum / ongoing.samples,
            peak=Peak(time, score) if score > peak.score else peak,
        )
        if time - ongoing.reported < UPDATE_SECONDS:
            return None
        ongoing.reported = time
        return EventChange("update", ongoing.event)

    def _end(self, label: int, time: float) -> EventChange:
        return EventChange("end", replace(self._ongoing.pop(label).event, end=time))
