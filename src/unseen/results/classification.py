"""Pictures → answers in a file: what `unseen classify … -o out.csv --resume` does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.classifier import Classifier
from unseen.encoder import Encoded
from unseen.errors import LabelError
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.calibration import Calibration
from unseen.prediction.calibration_file import AUTO, calibration_for, refuse_for_tiles
from unseen.prediction.decision import Decision
from unseen.prediction.seen import example_digests
from unseen.results.manifest import manifest
from unseen.results.result_file import ResultFile, Writer, kind_of, write_all
from unseen.results.summary import Progress, RunSummary, no_progress
from unseen.sources.expand import expand, fields_of, left_out

if TYPE_CHECKING:
    from unseen.types import LabelsLike, Sources, TemplateLike


def classify_to_file(
    classifier: Classifier,
    sources: Sources,
    labels: LabelsLike | CompiledLabels | None,
    output: str | Path | Writer,
    *,
    template: TemplateLike = None,
    background: Iterable[str] = (),
    multi_label: bool = False,
    top_k: int | None = None,
    min_score: float | None = None,
    unknown: str | None = None,
    calibration: Calibration | str | Path | None = AUTO,
    transductive: bool = False,
    tiles: str | None = None,
    encoded: Iterable[Encoded] | None = None,
    batch_size: int | None = None,
    kind: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> RunSummary:
    """Classify pictures into a file, a row each, with the manifest beside it.

    A picture that cannot be read is a row with an error. When the run is interrupted
    (KeyboardInterrupt) the file keeps what is done, and `resume` goes on there.

    Parameters
    ----------
    classifier : Classifier
        What answers.
    sources : str, Path, or iterable of sources
        A folder, a glob, or many pictures.
    labels : labels, CompiledLabels, or None
        As `Classifier.compile` takes them; None: those of the adapter, or of the model.
    output : str, Path or Writer
        A .jsonl, .csv or .json file; or an object that takes one prediction after another.
    template, background, multi_label, top_k, min_score, unknown, calibration
        As in `Classifier.classify_many`. A row of a CSV file has `top_k` labels, by default one.
    transductive : bool
        Let the whole collection help each picture; all are then encoded before the first answer.
    tiles : str, optional
        As in `Classifier.classify_many`. A CSV file then has a column ``tile``.
    encoded : iterable of Encoded, optional
        The pictures, already encoded: `sources` are not read.
    batch_size : int, optional
        Pictures that the network takes at once; by default as many as suit the model.
    kind : str, optional
        ``jsonl``, ``csv`` or ``json``; by default as the suffix of the file says.
    resume : bool
        Go on with a .jsonl or .csv file where it stopped; pictures with a row are not read again.
    overwrite : bool
        Replace a file that exists.
    progress : callable
        Called when the run begins and after each picture.

    Returns
    -------
    RunSummary
        How many pictures were done, how many failed, how many rows an earlier run had left.

    Raises
    ------
    SourceError
        If a folder has no pictures, or the file exists, cannot be written, or was made by another
        model, other labels or other options.
    LabelError
        If labels or options are not valid.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import unseen
    >>> path = Path(tempfile.mkdtemp(), "answers.jsonl")
    >>> clf = unseen.load()
    >>> unseen.classify_to_file(clf, ["examples/cat.jpg"], ["cat", "dog"], path).pictures
    1
    >>> again = unseen.classify_to_file(
    ...     clf, ["examples/cat.jpg"], ["cat", "dog"], path, resume=True
    ... )
    >>> again.pictures, again.earlier
    (0, 1)
    """
    if transductive and multi_label:
        raise LabelError("transductive cannot be combined with multi_label=True.")
    if transductive and calibration not in (None, AUTO):
        raise LabelError("calibration cannot be combined with transductive=True.")
    if transductive and tiles is not None:
        raise LabelError("tiles cannot be combined with transductive=True.")
    compiled = classifier.compile(labels, template=template, background=background)
    if tiles is not None:
        refuse_for_tiles(calibration, labels, compiled, multi_label=multi_label)
    calibration = None if transductive or tiles is not None else calibration
    calibration = calibration_for(calibration, labels, compiled, multi_label=multi_label)
    decision = classifier.decision(multi_label, top_k, min_score, unknown, calibration)
    file = None
    if isinstance(output, (str, Path)):
        path = Path(output)
        kind = kind or kind_of(path)
        fields = fields_of(sources) if kind == "csv" else ()
        options = _options(classifier, decision, transductive, tiles)
        if fields:  # columns of the file, so that only a run with the same goes on with it
            options["fields"] = fields
        made_by = manifest(classifier.model, compiled, options)
        seen = example_digests(classifier.model, classifier.adapter, decision.calibration)
        if seen:  # so that a comparison can say which pictures were learnt from
            made_by["example_digests"] = sorted(seen)
        file = output = ResultFile(
            path,
            kind,
            manifest=made_by,
            top=top_k or 1,
            extra=_extra_columns(decision, tiles),
            fields=fields,
            resume=resume,
            overwrite=overwrite,
        )
    # Rows that exist are skipped before their pictures are read; but where each answer needs all
    # pictures, or they are encoded already, after it.
    skips_late = transductive or encoded is not None
    if encoded is None:
        pictures = expand(sources)
        new = pictures if file is None or skips_late else file.remaining(pictures)
        encoded = classifier.encoded(new, tiles, batch_size=batch_size)
    if transductive:
        predictions = classifier.transduce(encoded, compiled, decision)
    else:
        predictions = classifier.predictions(
            iter(encoded), compiled, decision, batch_size=batch_size
        )
    if file is not None and skips_late:
        is_new = file.is_new
        predictions = (prediction for prediction in predictions if is_new(prediction.source))
    return write_all(
        predictions,
        output,
        facts=lambda: _computed(classifier),
        left_out=left_out(sources),
        progress=progress,
    )


def _options(
    classifier: Classifier, decision: Decision, transductive: bool, tiles: str | None
) -> dict[str, Any]:
    """The options of a manifest: a resumed run must have the same."""
    options: dict[str, Any] = {
        "multi": decision.multi_label,
        "top": decision.top_k,
        "min_score": decision.min_score,
        **classifier.encoder.options.facts(),
        "transductive": transductive,
    }
    if tiles is not None:
        options["tiles"] = tiles
    if decision.reference_set is not None:
        options["unknown"] = "auto"
    if decision.calibration is not None:
        options["calibration"] = decision.calibration.to_data()
    elif decision.multi_label and classifier.model.score.rule == "softmax":
        options["competitors"] = "all"  # 0.1.0 took their mean: one file never holds both scores
    return options


def _extra_columns(decision: Decision, tiles: str | None) -> tuple[str, ...]:
    has_sets = decision.calibration is not None and decision.calibration.likely is not None
    has_evidence = decision.reference_set is not None
    columns = {"likely": has_sets, "evidence": has_evidence, "tile": tiles is not None}
    return tuple(name for name, there in columns.items() if there)


def _computed(classifier: Classifier) -> dict[str, Any]:
    """What precision and device `auto` came to; known when a picture was encoded."""
    encoder = classifier.encoder
    return {"precision": encoder.precision, "device": str(encoder.target.device)}
