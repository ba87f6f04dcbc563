"""What came of a tuning, as text."""

from __future__ import annotations

from collections.abc import Iterator

from unseen.learning.tune.choice import REASONS, CurvePoint
from unseen.learning.tune.figures import JUDGED, Share
from unseen.learning.tune.run import TunePlan
from unseen.learning.tune.training import TuneProgress
from unseen.learning.tune.tuning import TuneReport

BAR = 20  # characters of a figure of 1
TITLES = {"seen": "labels that it learnt", "novel": "labels that it did not learn"}
TITLES |= {"retention": "sure answers about ordinary pictures kept"}
TITLES |= {"answers": "all answers about ordinary pictures kept"}


def plan(plan: TunePlan) -> Iterator[str]:
    """What is about to be done, and what it costs."""
    yield (
        f"{plan.pictures} pictures teach, {plan.ordinary} ordinary ones hold; {plan.steps} steps "
        f"of about {plan.seconds_a_step:.2g} s, {plan.values / 1e6:.3g} million values, "
        f"{plan.megabytes:,.0f} MB of them with gradients and moments"
    )
    if not plan.own_leash:
        yield (
            "warning: there is no --leash: pictures that were drawn stand for what the model must "
            "not forget. A folder of a few hundred ordinary pictures says more of it."
        )


def line(progress: TuneProgress) -> str:
    """Where a training is, in one line."""
    figures = ((kind, getattr(progress, kind)) for kind in JUDGED)
    shown = "".join(f"  {kind} {value:.3f}" for kind, value in figures if value is not None)
    return f"{progress.phase} {progress.step} of {progress.steps}  loss {progress.loss:.4f}{shown}"


def tuned(report: TuneReport) -> Iterator[str]:
    """The report of `unseen tune`."""
    if report.curve:
        yield from _curve(report.curve, report.alpha)
        yield ""
    after = report.after
    columns = {"before": report.before, "an adapter": report.adapter, "after": after}
    shown = {title: figures for title, figures in columns.items() if figures is not None}
    yield f"{'held out from all of that':44}" + "".join(f" {title:>24}" for title in shown)
    for kind, title in TITLES.items():
        cells = (_share(getattr(figures, kind)) for figures in shown.values())
        yield f"{title:44}" + "".join(f" {cell:>24}" for cell in cells)
    yield ""
    yield _verdict(report)


def _verdict(report: TuneReport) -> str:
    reason = REASONS[report.reason]
    if report.decision == "tuned":
        return f"written to {report.folder}, with α = {report.alpha:g}: {reason}"
    if report.decision == "adapter":
        return f"the original is kept, nothing is written: {reason}. Make one: unseen adapt"
    return f"the original is kept, nothing is written: {reason}"


def _curve(points: tuple[CurvePoint, ...], alpha: float | None) -> Iterator[str]:
    yield f"{'α':>5}  " + "  ".join(f"{kind:<{BAR + 6}}" for kind in JUDGED).rstrip()
    for point in points:
        cells = "  ".join(_bar(getattr(point.figures, kind)) for kind in JUDGED)
        mark = "taken" if point.alpha == alpha else "" if point.allowed else "forgets too much"
        yield f"{point.alpha:>5.2f}  {cells}  {mark}".rstrip()


def _bar(share: Share | None) -> str:
    if share is None:
        return f"{'-':<{BAR + 6}}"
    return f"{share.value:.3f} {'▇' * round(BAR * share.value):<{BAR}}"


def _share(share: Share | None) -> str:
    return "-" if share is None else str(share)
