"""One source, sample by sample → what is told of it: events, alarms of rules, surprises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from unseen.monitoring.messages import alarm_message, event_message, hashed, rfc3339
from unseen.monitoring.rules import Rule, RuleState
from unseen.monitoring.surprise import Surprise
from unseen.video.events import EventChange, EventStream, States
from unseen.video.prediction import rounded

if TYPE_CHECKING:
    from unseen.types import Floats

GAP_SECONDS = 20.0  # without a sample, after which what was going on has ended
GAP_SAMPLES = 5.0
REPEATED = 0.01  # how much a sample counts that shows the same for long


@dataclass
class Monitor:
    """What goes on at one source.

    Parameters
    ----------
    source : str
        Its name.
    every : float
        Seconds from one sample to the next, about.
    min_seconds : float
        The shortest event that is wanted.
    rules : sequence of Rule
        That count here.
    surprise : Surprise, optional
        Its past. None: nothing is surprising.
    offset : float
        In seconds: with it the times of samples are since 1970.
    """

    source: str
    every: float = 1.0
    min_seconds: float = 2.0
    rules: Sequence[Rule] = ()
    surprise: Surprise | None = None
    offset: float = 0.0
    time: float | None = field(default=None, init=False)  # of the last sample
    _stream: EventStream | None = field(default=None, init=False)
    _states: list[RuleState] = field(init=False)
    _counted: float = field(default=0.0, init=False)  # of the picture that is shown
    _last: Floats | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._states = [RuleState(rule, self.source) for rule in self.rules]

    @property
    def gap(self) -> float:
        """Seconds without a sample, after which it is taken to have stopped."""
        return max(GAP_SECONDS, GAP_SAMPLES * self.every)

    def add(
        self,
        time: float,
        states: States,
        probabilities: Floats,
        embedding: Floats | None = None,
        fit: float | None = None,
    ) -> list[dict[str, Any]]:
        """One more sample.

        Parameters
        ----------
        time : float
            In seconds, after that of the sample before.
        states : States
            What the samples are told apart by.
        probabilities : float32 array (k,)
            Of the states.
        embedding : float32 array (d,), optional
            Of the picture. None: it shows the same as the one before.
        fit : float, optional
            The best logit of the picture.

        Returns
        -------
        list of dict
            Messages, the oldest first; mostly none.
        """
        messages = self.finish() if self.time is not None and self.has_stopped(time) else []
        if self._stream is None:
            self._stream = EventStream(self.source, states, self.every, self.min_seconds)
        self.time = time
        # A picture that is repeated is evidence as long as the shortest event, and then hardly any
        # more: with none at all, a change could be anywhere before the next picture.
        fit_weight = 1.0 if fit is None else self._stream.weigh(fit)
        self._counted = self._counted if embedding is None else 0.0
        repeated = self._counted >= max(1.0, self.min_seconds / self.every)
        weight = REPEATED if repeated else 1.0
        self._counted += weight * fit_weight
        messages += self._event_messages(
            self._stream.add(time, probabilities, weight, fit_weight=fit_weight)
        )
        if embedding is not None:
            self._last = embedding
        if self.surprise is not None and self._last is not None:
            p = self.surprise.add(self._last, time + self.offset)
            messages += [] if p is None else [self._surprising(time, p)]
        return messages

    def has_stopped(self, now: float) -> bool:
        """Whether the last sample is so long ago that nothing goes on any more."""
        return self.time is not None and now - self.time > self.gap

    def finish(self) -> list[dict[str, Any]]:
        """All that was going on has ended, with the last sample."""
        if self._stream is None or self.time is None:
            return []
        messages = self._event_messages(self._stream.finish(self.time))
        for state in self._states:
            for alarm in state.finish(self.time + self.offset):
                messages.append(
                    alarm_message(alarm.type, alarm.event, self.offset, alarm.rule.name)
                )
        self.time = None
        return messages

    def _event_messages(self, changes: list[EventChange]) -> list[dict[str, Any]]:
        assert self._stream is not None
        messages = [event_message(change, self.offset) for change in changes]
        for sample in self._stream.decided:
            moment = sample.time + self.offset
            for state in self._states:
                messages += [
                    alarm_message(alarm.type, alarm.event, self.offset, alarm.rule.name)
                    for alarm in state.add(sample, moment)
                ]
        return messages

    def _surprising(self, time: float, p: float) -> dict[str, Any]:
        message: dict[str, Any] = {
            "type": "surprise",
            "id": hashed(self.source, str(round(1000 * time)), "surprise"),
        }
        message |= {"source": self.source, "start": rounded(time)}
        return message | {"start_time": rfc3339(time + self.offset), "p": p}
