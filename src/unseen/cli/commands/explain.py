"""`unseen explain`."""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.label_options import compile_labels
from unseen.cli.options import NO_LABEL_OPTIONS, LabelOptions
from unseen.cli.output import named, shown, write_json
from unseen.errors import LabelError, SourceError
from unseen.index.location import index_above
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.result_file import check_output, writing
from unseen.sources.expand import count
from unseen.system.cache import write_atomically

if TYPE_CHECKING:
    from PIL.Image import Image

    from unseen.explanation.explanation import Explanation
    from unseen.explanation.neighbours import Examples
    from unseen.labels.compiled import CompiledLabels

KINDS = (".html", ".png", ".json")
SHOWN = 5  # words, concepts and neighbours of a picture, in a terminal


@options.loads_model()
@options.takes_labels()
def explain(
    sources: options.Sources,
    label_options: LabelOptions = NO_LABEL_OPTIONS,
    label: Annotated[
        str | None,
        typer.Option("--for", help="The label that is explained.", show_default="the best"),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Another label that it is set against.", show_default="the mean of the labels"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write this .html, .png (one picture) or .json file."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(help="parts, drop, or auto: the one that earned trust on this model."),
    ] = options.AUTO,
    mask: Annotated[
        Path | None, typer.Option(help="Write the label's region, coarse, to this .png file.")
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(help="Write the boxes of the labels' regions to this .json file, as COCO."),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(help="Labelled pictures, a folder a label or a .csv: the nearest are shown."),
    ] = None,
    from_index: Annotated[
        bool,
        typer.Option("--from-index", help="From the rows of `index --explainable`: opens nothing."),
    ] = False,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    as_json: options.AsJson = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen explain photo.jpg -l cat,dog -o why.html

    Say why each picture has its label: which places speak for it and how far to believe that, which
    words of the prompt, and which concepts. A picture that cannot be read is a row with an error.
    """
    if label_options.open_set or label_options.calibration is not None:
        raise LabelError("--unknown auto and --calibration are not for explain; leave them out.")
    options.check_labels(label_options.labels, load_options, sources)
    total = count(sources)
    _check_files(output, mask, boxes, total, overwrite)
    if from_index:
        _check_from_index(output, method, examples)
    else:
        progress.say_left_out(sources, quiet)
    classifier = unseen.load(load_options)
    explainer = classifier.explainer()
    labels = compile_labels(classifier, label_options, quiet=quiet)
    labelled = None if examples is None else _examples(classifier, examples, quiet)
    explained: list[Explanation] = []
    with progress.stages(quiet) as show:

        def explanations() -> Iterator[Explanation]:
            if from_index:
                return _stored(classifier, sources, labels, label, against)
            return explainer.explain_many(
                sources,
                labels,
                label,
                against,
                method=method,
                examples=labelled,
                progress=lambda done, of: show("choosing the method", done, of),
            )

        def each() -> Iterator[Explanation]:
            for explanation in explanations():
                if not as_json:
                    _say(explanation)
                yield explanation
                # The pictures of a page are in the page by now.
                explained.append(explanation if total == 1 else replace(explanation, picture=None))
                if total != 1:
                    show("pictures", len(explained), total or len(explained))

        _write(output, mask, boxes, each(), explained)
    if as_json:
        write_json([explanation.to_dict() for explanation in explained])
    failed = sum(not explanation.ok for explanation in explained)
    if not quiet and (output or mask or boxes or total != 1):
        files = ", ".join(str(path) for path in (output, mask, boxes) if path is not None)
        done = f"{len(explained) - failed} of {len(explained)} pictures explained"
        progress.say(f"{done}: {files}." if files else f"{done}.")
    if failed:
        raise typer.Exit(1)


def _check_from_index(output: Path | None, method: str, examples: Path | None) -> None:
    """SourceError for what only the pictures themselves can give."""
    if output is not None and output.suffix.lower() != ".json":
        raise SourceError(f"{output}: with --from-index no picture is opened; write .json.")
    if method != options.AUTO or examples is not None:
        raise SourceError(
            "--from-index takes the rows as they were made: leave out --method and --examples."
        )


def _stored(
    classifier: unseen.Classifier,
    sources: list[str],
    labels: CompiledLabels,
    label: str | None,
    against: str | None,
) -> Iterator[Explanation]:
    """From the index in or above the one folder."""
    root = index_above(sources)
    if root is None:
        raise SourceError(
            "--from-index takes one folder that has an index, in it or above it; make one: "
            "unseen index FOLDER --explainable."
        )
    with unseen.Index(root, create=False) as index:
        name = index.name(sources[0])
        below = "" if name == "." else f"{name}/"
        yield from index.view(classifier).explain(labels, label, against, below=below)


def _check_files(
    output: Path | None, mask: Path | None, boxes: Path | None, total: int | None, overwrite: bool
) -> None:
    """SourceError, before any work, for a file that cannot be written."""
    if output is not None and output.suffix.lower() not in KINDS:
        raise SourceError(f"{output}: explain writes {', '.join(KINDS)}; choose one of these.")
    if mask is not None and mask.suffix.lower() != ".png":
        raise SourceError(f"{mask}: --mask writes a .png file.")
    if boxes is not None and boxes.suffix.lower() != ".json":
        raise SourceError(f"{boxes}: --boxes writes a .json file.")
    drawn = [p for p in (output, mask) if p is not None and p.suffix.lower() == ".png"]
    if drawn and total != 1:
        raise SourceError(
            f"{drawn[0]}: a .png file holds one picture; give one, or write .html or .json."
        )
    for path in (output, mask, boxes):
        if path is not None:
            check_output(path, overwrite=overwrite)


def _examples(classifier: unseen.Classifier, path: Path, quiet: bool) -> Examples:
    """The labelled pictures of a folder or a table, encoded; from an index where there is one."""
    from unseen.datasets.readers import read_annotations  # noqa: PLC0415 - it loads what computes
    from unseen.explanation.neighbours import Examples  # noqa: PLC0415
    from unseen.index.encoding import encode_annotations  # noqa: PLC0415

    annotations = list(read_annotations(path))
    with progress.stages(quiet) as show:
        encoded = encode_annotations(classifier.encoder, annotations, path, progress=show)
    chosen = [annotations[row] for row in encoded.readable]
    return Examples(
        encoded.embeddings[encoded.readable],
        [str(annotation.path) for annotation in chosen],
        [", ".join(annotation.labels) for annotation in chosen],
    )


def _say(explanation: Explanation) -> None:
    """What is known of a picture, in a few lines."""
    from unseen.explanation.page import lines  # noqa: PLC0415

    if explanation.error is not None:
        progress.say(named(explanation.source, explanation.error))
        return
    rival = "" if explanation.against is None else f", against {explanation.against}"
    text = [
        f"{shown(explanation.source)}: {explanation.label} "
        f"{explanation.probability or 0:.1%}{rival}",
        explanation.sentence,
        *lines(explanation),
    ]
    words = sorted(explanation.words, key=lambda word: -word.score)
    rows = {
        "words": [f"{w.word} {w.score:+.3f}" for w in words],
        "concepts": [f"{c.concept} {c.weight:.2f}" for c in explanation.concepts],
        "nearest": [f"{n.label} ({n.name}) {n.share:.0%}" for n in explanation.neighbours],
    }
    text += [f"{title}: {', '.join(row[:SHOWN])}" for title, row in rows.items() if row]
    typer.echo("\n  ".join(text))


def _write(
    output: Path | None,
    mask: Path | None,
    boxes: Path | None,
    stream: Iterator[Explanation],
    explained: list[Explanation],
) -> None:
    """Go through the stream, which fills `explained`, and write the files, each whole or not at
    all. SourceError."""
    from unseen.explanation.page import coco, mask_image, write_page  # noqa: PLC0415

    kind = None if output is None else output.suffix.lower()
    if output is not None and kind == ".html":
        with writing(output):
            write_page(output, "Why", stream)
    deque(stream, 0)
    if output is not None and kind == ".png":
        _write_png(output, explained, lambda explanation: explanation.to_image())
    if output is not None and kind == ".json":
        _write_json(output, [explanation.to_dict() for explanation in explained])
    if mask is not None:
        _write_png(mask, explained, mask_image)
    if boxes is not None:
        _write_json(boxes, coco(explained))


def _write_png(
    path: Path, explained: list[Explanation], draw: Callable[[Explanation], Image]
) -> None:
    (explanation,) = explained
    if not explanation.ok:
        return
    file = io.BytesIO()
    try:
        draw(explanation).save(file, "PNG")
    except ValueError as error:
        raise SourceError(f"{path} is not written: {error}") from None
    with writing(path):
        write_atomically(path, file.getvalue())


def _write_json(path: Path, facts: object) -> None:
    text = json.dumps(facts, ensure_ascii=False, indent=1)
    with writing(path):
        write_atomically(path, text.encode("utf-8", "backslashreplace"))
