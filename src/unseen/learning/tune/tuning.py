"""A model and labelled pictures → a model that is right about them and forgets little, or none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.classifier import Classifier
from unseen.datasets.read_summary import ReadSummary
from unseen.errors import LabelError, ModelError, UnseenError
from unseen.index.encoding import StageProgress
from unseen.learning.adapt import fit_adapter
from unseen.learning.few_shot import Examples
from unseen.learning.gate import LEVEL, chance_of_labels
from unseen.learning.tune import card as cards
from unseen.learning.tune import model_folder
from unseen.learning.tune import network as networks
from unseen.learning.tune.choice import (
    SHARES,
    CurvePoint,
    best_alpha,
    curve,
    verdict,
)
from unseen.learning.tune.figures import Exam, Figures, Marks, Share
from unseen.learning.tune.material import Annotated, annotated, read_material
from unseen.learning.tune.options import DEFAULT_TUNE_OPTIONS, TuneOptions
from unseen.learning.tune.run import TunePlan, Tuning, settled
from unseen.learning.tune.split import Rows
from unseen.learning.tune.training import TuneProgress
from unseen.models.conversion.checkpoint_folder import check_is_free
from unseen.models.weights.changes import Changes
from unseen.results.manifest import versions
from unseen.types import TemplateLike

if TYPE_CHECKING:
    from unseen.datasets.readers import Labelled
    from unseen.index.index import Index

UNFINISHED = ".unfinished"  # behind the name of the folder, while it is made
OWN_SUFFIXES = (".npy", ".safetensors", ".jsonl", ".tmp")  # of what is in there


@dataclass(frozen=True, eq=False)
class TuneReport:
    """What came of a tuning.

    Parameters
    ----------
    decision : str
        "tuned", or "adapter" or "original" where no folder was written.
    reason : str
        Why: a key of `unseen.learning.tune.choice.REASONS`.
    folder : Path, optional
        The tuned model.
    alpha : float, optional
        The share of the training that it has.
    before, after : Figures
        Of the original and of the tuned net, on pictures that neither taught nor chose; `after` is
        None where nothing was trained.
    adapter : Figures, optional
        Of an adapter, on the same pictures.
    curve : tuple of CurvePoint
        The figures of every α, on the pictures that chose.
    facts : dict
        What the card has.
    errors : dict of str to str
        Pictures that could not be read, and why.
    """

    decision: str
    reason: str
    folder: Path | None
    alpha: float | None
    before: Figures
    after: Figures | None
    adapter: Figures | None
    curve: tuple[CurvePoint, ...]
    facts: dict[str, Any]
    errors: dict[str, str]

    def __repr__(self) -> str:
        where = f", {str(self.folder)!r}" if self.folder is not None else ""
        return f"TuneReport({self.decision!r}, {self.reason!r}{where})"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Returns
        -------
        dict
        """
        return {
            "decision": self.decision,
            "reason": self.reason,
            "folder": None if self.folder is None else str(self.folder),
            "alpha": self.alpha,
            "before": self.before.to_dict(),
            "after": None if self.after is None else self.after.to_dict(),
            "adapter": None if self.adapter is None else self.adapter.to_dict(),
            "curve": [point.to_dict() for point in self.curve],
            "facts": self.facts,
            "errors": self.errors,
        }


def tune(
    classifier: Classifier,
    source: Labelled | Index,
    folder: str | Path,
    options: TuneOptions = DEFAULT_TUNE_OPTIONS,
    *,
    template: TemplateLike = None,
    progress: StageProgress | None = None,
    on_read: Callable[[ReadSummary], None] | None = None,
    on_plan: Callable[[TunePlan], None] | None = None,
    on_progress: Callable[[TuneProgress], None] | None = None,
) -> TuneReport:
    """Fine-tune the image net of a model, if pictures held out show that this does no harm.

    A process that was stopped goes on where it was when the same is begun again.

    Parameters
    ----------
    classifier : Classifier
        What `unseen.load` gives, without an adapter; its device trains.
    source : str, Path, Index, or iterable
        Labelled pictures, as `unseen.adapt` takes them, with one label or several; an index, or its
        .sqlite file: labels are what people gave in a review of its folder, or the folders in it;
        a .parquet file of pictures with a column `label`, `caption` or `text`; or a .csv or .jsonl
        file with the columns `path` and `caption`.
    folder : str or Path
        What to write: a folder in the format of the original. It must not be there, or be empty.
    options : TuneOptions
        The leash, the steps, and so on.
    template : str or sequence of str, optional
        Prompts with ``{}`` for the label, or the name of a set of them.
    progress : callable, optional
        Called with ``"pictures"`` or ``"leash"``, how many are read, and of how many.
    on_read : callable, optional
        Called with the `ReadSummary`: which pictures take no part. By default that is a warning.
    on_plan : callable, optional
        Called with a `TunePlan` before the training.
    on_progress : callable, optional
        Called with a `TuneProgress` after each step.

    Returns
    -------
    TuneReport
        Its `decision` is "tuned" where the folder was written.

    Raises
    ------
    MissingExtraError
        torch is not installed.
    ModelError
        The model is of a family that cannot be tuned, or the folder is in the way.
    SourceError, LabelError
        There are no pictures, or too few.
    """
    target = Path(folder).expanduser()
    networks.require_torch()
    networks.require_tunable(classifier.model)
    if classifier.adapter is not None:
        raise LabelError("a model is tuned without its adapter; load it without one.")
    check_is_free(target)
    data = annotated(classifier, source, template)
    work = _work_folder(target)
    try:
        report = _tuned(
            classifier, data, target, work, options, progress, on_read, on_plan, on_progress
        )
    except UnseenError:  # begun again, it would end so again
        shutil.rmtree(work, ignore_errors=True)
        raise
    shutil.rmtree(work, ignore_errors=True)
    return report


def _work_folder(target: Path) -> Path:
    """Where arrays, states and logs are until the end. ModelError where other files are there."""
    work = target.with_name(target.name + UNFINISHED)
    work.mkdir(parents=True, exist_ok=True)
    if any(path.suffix not in OWN_SUFFIXES for path in work.iterdir()):
        raise ModelError(f"{work} has files of something else; give another folder with --output.")
    return work


def _tuned(
    classifier: Classifier,
    data: Annotated,
    target: Path,
    work: Path,
    options: TuneOptions,
    progress: StageProgress | None,
    on_read: Callable[[ReadSummary], None] | None,
    on_plan: Callable[[TunePlan], None] | None,
    on_progress: Callable[[TuneProgress], None] | None,
) -> TuneReport:
    """As `tune`, once it is clear what of and where to."""
    device = networks.torch_device(classifier.options.device)
    embed = networks.embedder(classifier.model, {}, 0.0, device)
    material = read_material(
        classifier, data, options, work, embed, progress=progress, on_read=on_read
    )
    tuning = Tuning(
        classifier.model,
        material,
        settled(classifier.model, material, options, device),
        work,
        device,
    )
    return _result(tuning, target, on_plan, on_progress)


def _result(
    tuning: Tuning,
    target: Path,
    on_plan: Callable[[TunePlan], None] | None,
    on_progress: Callable[[TuneProgress], None] | None,
) -> TuneReport:
    """The trainings, the tests, and the folder where they are passed."""
    material, options = tuning.material, tuning.options
    split, judge, choose = material.split, material.exam("judge"), material.exam("choose")
    before = judge.marks(tuning.embedder({}, 0.0))
    report = TuneReport(
        "original",
        "chance",
        None,
        None,
        Figures.of(before),
        None,
        None,
        (),
        {},
        {material.data.pictures[row]: e for row, e in material.labelled.errors.items()},
    )
    labels_p = chance_of_labels(_examples(tuning, split.train))
    if labels_p > LEVEL:
        return replace(report, facts={"labels_p": labels_p})
    adapter = _adapter(tuning, judge)
    if adapter is not None:
        report = replace(report, adapter=Figures.of(adapter))
    changes = tuning.trained("trial", split.train, choose, on_plan, on_progress)
    points = tuple(
        curve([choose.marks(tuning.embedder(changes, alpha)) for alpha in SHARES], options.keep)
    )
    alpha = best_alpha(points)
    if alpha is None:
        return replace(report, reason="harm", curve=points, facts={"labels_p": labels_p})
    after = judge.marks(tuning.embedder(changes, alpha))
    rival = adapter if options.beat_adapter else None
    reason, p_values = verdict(before, after, rival, options.keep)
    report = replace(
        report,
        reason=reason,
        after=Figures.of(after),
        curve=points,
        alpha=alpha,
        facts={"labels_p": labels_p, **p_values},
    )
    if reason != "gain":
        return replace(report, decision="adapter" if reason == "adapter" else "original")
    changes, retention = _refitted(tuning, changes, alpha, judge, on_progress)
    final = {name: np.float32(alpha) * change for name, change in changes.items()}
    report = replace(report, decision="tuned", folder=target)
    facts = _card(tuning, report, retention)
    log = "".join(file.read_text("utf-8") for file in sorted(tuning.work.glob("*.jsonl")))
    page = cards.page(facts, target.name)
    written = model_folder.write(
        tuning.model, target, final, facts, page, log, tuning.material.digests
    )
    return replace(report, facts=written)


def _refitted(
    tuning: Tuning,
    changes: Changes,
    alpha: float,
    judge: Exam,
    on_progress: Callable[[TuneProgress], None] | None,
) -> tuple[Changes, Share | None]:
    """The changes of a training with all pictures, and what of the original's answers it keeps.

    Those of the trial, and None, where that is not wanted, or would forget too much.
    """
    if not tuning.options.refit:
        return changes, None
    rows = tuning.material.labelled.readable
    whole = tuning.trained("final", rows, None, None, on_progress)
    retention = Figures.of(judge.marks(tuning.embedder(whole, alpha))).retention
    if retention is not None and retention.interval[1] < tuning.options.keep:
        return changes, None
    return whole, retention


def _examples(tuning: Tuning, rows: Rows) -> Examples:
    """The pictures that are learnt from, with the first label of each, of those that have any."""
    data = tuning.material.data
    first = np.array([data.label_ids[row][0] for row in rows])
    present, ids = np.unique(first, return_inverse=True)
    return Examples(
        tuning.material.before[rows],
        np.asarray(ids, dtype=np.int64),
        data.texts[present],
        tuning.model.score.scale,
    )


def _adapter(tuning: Tuning, judge: Exam) -> Marks | None:
    """Which of the pictures that judge an adapter is right about, which learnt from the same; None
    where there can be none: of captions, and of several labels a picture."""
    material = tuning.material
    data, rows = material.data, material.split.train
    if data.compiled is None or data.is_multi_label:
        return None
    ids = [data.label_ids[row][0] for row in rows]
    try:
        adapter = fit_adapter(material.before[rows], ids, data.compiled, seed=tuning.options.seed)
    except LabelError:
        return None
    adapted = adapter.apply(data.compiled)
    marks = {
        kind: judge.right(kind, adapted.similarities(material.before[rows]))
        for kind, rows in judge.rows.items()
    }
    return {**marks, "retention": np.zeros(0, dtype=bool)}


def _card(tuning: Tuning, report: TuneReport, retention: Share | None) -> dict[str, Any]:
    """What `tune.json` has: no date, so that the same seed gives the same bytes."""
    material, options = tuning.material, tuning.options
    assert report.after is not None and report.alpha is not None
    data = material.data
    shown: Mapping[str, Any] = {
        key: value for key, value in asdict(options).items() if key not in ("leash", "epochs")
    }
    return {
        "base": cards.base_facts(tuning.model),
        "data": {
            "pictures": len(material.labelled.readable),
            "texts": len(data.names),
            "pairs": data.compiled is None,
            "digest": material.digest,
            "held_out_labels": [data.names[i] for i in material.split.novel_labels],
        },
        "leash": {
            "own": material.own_leash,
            "pictures": len(material.leash) if tuning.holds else 0,
            "weight": options.leash_weight,
        },
        "options": dict(shown),
        "alpha": report.alpha,
        "before": report.before.to_dict(),
        "after": report.after.to_dict(),
        "adapter": None if report.adapter is None else report.adapter.to_dict(),
        "refit": retention is not None,
        "final_retention": None if retention is None else retention.to_dict(),
        "curve": [point.to_dict() for point in report.curve],
        "p_values": report.facts,
        "versions": versions(),
    }
