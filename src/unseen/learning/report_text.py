"""What was learnt of labelled pictures, as text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from unseen.prediction.adapter import Adapter
from unseen.prediction.calibration import Calibration


def adapted(adapter: Adapter, output: Path, size: int) -> Iterator[str]:
    """The report of `unseen adapt`: what was tried, what was chosen, and why.

    `size`: of the file `output`, in bytes.
    """
    facts = adapter.facts
    low, high = facts["shots"]
    shots = f"{low}" if low == high else f"{low} to {high}"
    yield f"{facts['pictures']} pictures of {len(adapter.labels)} labels, {shots} of each"
    held_out = facts["held_out"]
    if held_out:
        yield f"{'':12} {'settings':24} {'held out':>12} {'loss':>6}"
    for trial in facts["tried"] if held_out else ():
        settings = ", ".join(f"{key} {value:.3g}" for key, value in trial["settings"].items())
        part = f"{trial['right']} of {held_out}"
        yield f"{trial['method']:12} {settings:24} {part:>12} {trial['loss']:6.3f}"
    keep = adapter.method == "zero-shot"
    if held_out:
        why = "no method was right more often by more than noise" if keep else "the least loss"
    else:
        right = f"zero-shot is right for {facts['tried'][0]['right']} of them"
        why = f"one picture a label, nothing to hold out; {right}"
    what = "keep zero-shot: the adapter changes nothing" if keep else f"chosen: {adapter.method}"
    yield f"{what} ({why})"
    yield f"{output}: {size / 1000:.1f} kB"


def calibrated(calibration: Calibration) -> str:
    """What `unseen calibrate` has learnt, in words."""
    parts = [f"{calibration.pictures} pictures"]
    if calibration.prior is not None:
        parts.append("a prior of the labels")
    else:
        parts.append(f"temperature {calibration.temperature:.2f}")
    if calibration.multi_label:
        parts.append(f"thresholds for {calibration.threshold_goal}")
    if calibration.likely is not None:
        parts.append(f"likely labels with {calibration.likely.coverage:.0%} coverage")
    return ", ".join(parts) + "."
