"""What was learnt of labelled pictures, as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unseen.prediction.adapter import ZERO_SHOT, Adapter
from unseen.prediction.calibration import Calibration

# Why a method was chosen, or zero-shot kept: `reason` of the facts of an adapter.
REASONS = {
    "gain": "it loses less and is right more often, by more than chance: p = {gain_p:.3f}",
    "prior": "the cautious choice, not proved: the best gains by chance with p = {gain_p:.2f}",
    "no gain": "no method is better by more than chance: p = {gain_p:.2f}",
    "chance": "by chance labels fit these pictures as well: p = {labels_p:.2f}",
    "believed": "one picture a label, nothing to hold out; {right}",
    "enough": "one picture a label, nothing to hold out; {right}",
    "few": "one picture of two or three labels says too little; {right}",
}


def adapted(adapter: Adapter, output: Path, size: int) -> Iterator[str]:
    """The report of `unseen adapt`: what was tried, what was chosen, and why.

    `size`: of the file `output`, in bytes.
    """
    facts = adapter.facts
    low, high = facts["shots"]
    shots = f"{low}" if low == high else f"{low} to {high}"
    yield f"{facts['pictures']} pictures of {len(adapter.labels)} labels, {shots} of each"
    if facts.get("not_drawn"):
        part = f"{facts['not_drawn']} of {facts['pictures'] + facts['not_drawn']} pictures"
        yield f"{part} are not used: --shots {facts['shots_limit']}"
    held_out = facts["held_out"] if len(facts["tried"]) > 1 else 0
    if held_out:
        yield f"{'':12} {'settings':24} {'held out':>12} {'loss':>6}"
    for trial in facts["tried"] if held_out else ():
        settings = ", ".join(f"{key} {value:.3g}" for key, value in trial["settings"].items())
        part = f"{trial['right']} of {held_out}"
        yield f"{trial['method']:12} {settings:24} {part:>12} {trial['loss']:6.3f}"
    keep = adapter.method == ZERO_SHOT
    what = "keep zero-shot: the adapter changes nothing" if keep else f"chosen: {adapter.method}"
    yield f"{what} ({_why(facts)})"
    if "fallback" in facts:
        yield f"beside labels without pictures: {facts['fallback']['method']}"
    yield f"{output}: {size / 1000:.1f} kB"


def _why(facts: dict[str, Any]) -> str:
    """The reason for the method, in words."""
    right = f"zero-shot is right for {facts['tried'][0]['right']} of them"
    return REASONS[facts["reason"]].format(right=right, **facts)


def calibrated(calibration: Calibration) -> Iterator[str]:
    """What `unseen calibrate` has learnt, in words."""
    parts = [f"{calibration.pictures} pictures"]
    if calibration.prior is not None:
        parts.append("a prior of the labels")
    else:
        parts.append(f"temperature {calibration.temperature:.2f}")
    if calibration.multi_label:
        parts.append(f"thresholds for {calibration.threshold_goal}")
    likely, selective, error = calibration.likely, calibration.selective, calibration.error
    if likely is not None:
        of_labels = len(likely.reach_by_label or ())
        each = f", of each of {of_labels} labels" if of_labels else ""
        parts.append(f"likely labels with {likely.coverage:.0%} coverage{each}")
    yield ", ".join(parts) + "."
    if selective is not None:
        above = "every picture is answered"
        if selective.threshold > 0:
            above = f"an answer from a score before calibration of {selective.threshold:.3g} on"
        yield (
            f"{above}: at most {selective.max_wrong:.1%} of the answers are wrong, with "
            f"{selective.confidence:.0%} confidence."
        )
    if error is not None:
        yield (
            f"calibration error (ECE) of pictures held out: {error.before:.1%} before, "
            f"{error.after:.1%} left; exact scores would show {error.by_chance:.1%} with so few "
            "pictures."
        )
