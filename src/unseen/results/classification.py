"""Pictures → answers in a file: what `unseen classify … -o out.csv --resume` does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.classifier import Classifier
from unseen.encoder import Encoded
from unseen.errors import LabelError
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.calibration import Calibration
from unseen.prediction.calibration_file import AUTO
from unseen.prediction.decision import Decision
from unseen.prediction.facets import Facet, FacetPrediction
from unseen.prediction.prediction import Prediction
from unseen.prediction.seen import example_digests
from unseen.results.manifest import facets_manifest, manifest
from unseen.results.result_file import ResultFile, Writer, kind_of, write_all
from unseen.results.summary import Progress, RunSummary, no_progress
from unseen.sources.expand import expand, fields_of, left_out
from unseen.system.read_ahead import made_ahead

if TYPE_CHECKING:
    from unseen.types import LabelsLike, Sources, TemplateLike

TABLES = ("csv", "parquet")  # formats of which a row has one label, where nobody says how many
ROWS, SCORES = 4096, 1 << 21  # of embeddings that are there already, decided at once
MOST_TILES = 16  # of a picture


def classify_to_file(
    classifier: Classifier,
    sources: Sources,
    labels: LabelsLike | CompiledLabels | None,
    output: str | Path | Writer,
    *,
    template: TemplateLike = None,
    background: Iterable[str] = (),
    concept: str | None = None,
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
        A .jsonl, .csv, .json or .parquet file; or an object that takes one prediction after
        another.
    template, background, concept, multi_label, top_k, min_score, unknown, calibration
        As in `Classifier.classify_many`. A row of a CSV or Parquet file has `top_k` labels, by
        default one.
    transductive : bool
        Let the whole collection help each picture; all are then encoded before the first answer.
    tiles : str, optional
        As in `Classifier.classify_many`. A CSV file then has a column ``tile``.
    encoded : iterable of Encoded, optional
        The pictures, already encoded: `sources` are not read.
    batch_size : int, optional
        Pictures that the network takes at once; by default as many as suit the model.
    kind : str, optional
        ``jsonl``, ``csv``, ``json`` or ``parquet``; by default as the suffix of the file says.
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
    compiled, decision = classifier.labels_and_decision(
        labels,
        template,
        background,
        multi_label,
        top_k,
        min_score,
        unknown,
        None if transductive else calibration,
        concept=concept,
        tiles=tiles,
    )
    made_by = manifest(classifier.model, compiled, _options(classifier, [decision], transductive))
    if tiles is not None:
        made_by["options"]["tiles"] = tiles
    file = _result_file(
        output,
        made_by,
        classifier,
        [decision],
        kind=kind,
        fields=fields_of(sources),
        top=top_k or 1,
        extra=(*extra_columns(decision), *(["tile"] if tiles is not None else [])),
        resume=resume,
        overwrite=overwrite,
    )

    decision = _shown(decision, file)
    size = batch_size if encoded is None else _rows_at_once([compiled], tiles)

    def answer(stream: Iterable[Encoded]) -> Iterator[Prediction]:
        if transductive:
            return classifier.transduce(stream, compiled, decision)
        return classifier.predictions(iter(stream), compiled, decision, batch_size=size)

    return _run(
        classifier, sources, file or output, answer, waits=transductive, encoded=encoded,
        batch_size=size, progress=progress, tiles=tiles,
    )  # fmt: skip


def classify_facets_to_file(
    classifier: Classifier,
    sources: Sources,
    facets: Mapping[str, LabelsLike | CompiledLabels | Facet],
    output: str | Path | Writer,
    *,
    multi_label: bool | Collection[str] = False,
    top_k: int | None = None,
    min_score: float | None = None,
    unknown: str | None = None,
    calibration: str | None = AUTO,
    transductive: bool = False,
    encoded: Iterable[Encoded] | None = None,
    batch_size: int | None = None,
    kind: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress = no_progress,
) -> RunSummary:
    """As `classify_to_file`, with an answer of each of several label sets in every row.

    Each picture is encoded once. A CSV file has the columns NAME, NAME.score and NAME.unknown for
    each set; a JSON object has them below ``facets``.

    Parameters
    ----------
    classifier, sources, output
        As in `classify_to_file`.
    facets : mapping of str to labels, CompiledLabels or Facet
        The name of each set → its labels.
    multi_label, top_k, min_score, unknown, calibration
        As in `Classifier.classify_facets`.
    transductive, encoded, batch_size, kind, resume, overwrite, progress
        As in `classify_to_file`.

    Returns
    -------
    RunSummary
        How many pictures were done, and how often each label of each set was the answer.

    Raises
    ------
    SourceError, LabelError
        As `classify_to_file`, and for names of sets that cannot be columns.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import unseen
    >>> path = Path(tempfile.mkdtemp(), "answers.csv")
    >>> sets = {"what": ["cat", "dog"], "how": ["a photograph", "a drawing"]}
    >>> clf = unseen.load()
    >>> unseen.classify_facets_to_file(clf, ["examples/cat.jpg"], sets, path).pictures
    1
    >>> path.read_text().splitlines()[0]
    'source,what,what.score,what.unknown,how,how.score,how.unknown,error'
    """
    sets = classifier.compile_facets(
        facets,
        multi_label=multi_label,
        top_k=top_k,
        min_score=min_score,
        unknown=unknown,
        calibration=None if transductive else calibration,
    )
    decisions = [facet.decision for facet in sets.values()]
    options = _options(classifier, decisions, transductive)
    file = _result_file(
        output,
        facets_manifest(classifier.model, sets, options),
        classifier,
        decisions,
        kind=kind,
        fields=fields_of(sources),
        top=top_k or 1,
        facets={name: extra_columns(facet.decision) for name, facet in sets.items()},
        resume=resume,
        overwrite=overwrite,
    )

    sets = {
        name: replace(facet, decision=_shown(facet.decision, file)) for name, facet in sets.items()
    }
    size = batch_size
    if encoded is not None:
        size = _rows_at_once([facet.labels for facet in sets.values()], None)

    def answer(stream: Iterable[Encoded]) -> Iterator[FacetPrediction]:
        if transductive:
            return classifier.transduce_facets(stream, sets)
        return classifier.facet_predictions(iter(stream), sets, batch_size=size)

    return _run(
        classifier, sources, file or output, answer, waits=transductive, encoded=encoded,
        batch_size=size, progress=progress,
    )  # fmt: skip


def _result_file(
    output: str | Path | Writer,
    made_by: dict[str, Any],
    classifier: Classifier,
    decisions: Sequence[Decision],
    *,
    kind: str | None,
    fields: tuple[str, ...],
    **columns: Any,
) -> ResultFile | None:
    """The file of a run; None where the output is none."""
    if not isinstance(output, (str, Path)):
        return None
    path = Path(output)
    kind = kind or kind_of(path)
    if kind != "csv":
        fields = ()
    if fields:  # columns of the file, so that only a run with the same goes on with it
        made_by["options"]["fields"] = fields
    digests = (
        example_digests(classifier.model, classifier.adapter, decision.calibration)
        for decision in decisions
    )
    seen = frozenset().union(*digests)
    if seen:  # so that a comparison can say which pictures were learnt from
        made_by["example_digests"] = sorted(seen)
    return ResultFile(path, kind, manifest=made_by, fields=fields, **columns)


def _shown(decision: Decision, file: ResultFile | None) -> Decision:
    """The decision, with as many labels as a row of a table has where nobody says how many: of
    1,000 labels the others would take most of the time."""
    if decision.top_k is None and file is not None and file.kind in TABLES:
        return replace(decision, top_k=1)
    return decision


def _rows_at_once(sets: Iterable[CompiledLabels], tiles: str | None) -> int:
    """Pictures that are decided at once where their vectors are there already: what a product
    of matrices likes, in bounded memory."""
    views = 1 if tiles is None else MOST_TILES
    labels = sum(len(compiled.labels) for compiled in sets)
    return max(1, min(ROWS, SCORES // (max(labels, 1) * views)))


def _run(
    classifier: Classifier,
    sources: Sources,
    output: ResultFile | Writer | str | Path,
    answer: Callable[[Iterable[Encoded]], Iterator[Any]],
    *,
    waits: bool,
    encoded: Iterable[Encoded] | None,
    batch_size: int | None,
    progress: Progress,
    tiles: str | None = None,
) -> RunSummary:
    """Pictures → embeddings → answers → output. `waits`: each answer needs all pictures."""
    assert not isinstance(output, (str, Path))
    file = output if isinstance(output, ResultFile) else None
    # Rows that exist are skipped before their pictures are read; but where each answer needs all
    # pictures, or they are encoded already, after it.
    skips_late = waits or encoded is not None
    with ExitStack() as stack:
        if encoded is None:
            pictures = expand(sources)
            new = pictures if file is None or skips_late else file.remaining(pictures)
            predictions = answer(classifier.encoded(new, tiles, batch_size=batch_size))
        else:  # NumPy computes the next answers while Python writes these
            ahead = made_ahead(answer(encoded), batch_size or ROWS)
            predictions = stack.enter_context(closing(ahead))
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
    classifier: Classifier, decisions: Sequence[Decision], transductive: bool
) -> dict[str, Any]:
    """The options of a manifest: a resumed run must have the same. Of several label sets there are
    as many decisions, which differ in their mode and their calibration."""
    first = decisions[0]
    modes = [decision.multi_label for decision in decisions]
    options: dict[str, Any] = {
        "multi": modes[0] if len(modes) == 1 else modes,
        "top": first.top_k,
        "min_score": first.min_score,
        **classifier.encoder.options.facts(),
        "transductive": transductive,
    }
    if first.reference_set is not None:
        options["unknown"] = "auto"
    calibrations = [d.calibration and d.calibration.to_data() for d in decisions]
    if any(calibrations):
        options["calibration"] = calibrations[0] if len(calibrations) == 1 else calibrations
    if first.calibration is None and any(modes) and classifier.model.score.rule == "softmax":
        options["competitors"] = "all"  # 0.1.0 took their mean: one file never holds both scores
    return options


def extra_columns(decision: Decision) -> tuple[str, ...]:
    """The columns of a CSV file that only some decisions fill."""
    has_sets = decision.calibration is not None and decision.calibration.likely is not None
    has_evidence = decision.reference_set is not None
    return (*(["likely"] if has_sets else []), *(["evidence"] if has_evidence else []))


def _computed(classifier: Classifier) -> dict[str, Any]:
    """What precision and device `auto` came to; known when a picture was encoded."""
    encoder = classifier.encoder
    return {"precision": encoder.precision, "device": str(encoder.target.device)}
