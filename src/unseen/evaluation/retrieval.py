"""Pictures and their captions → how often one finds the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.classifier import Classifier
from unseen.datasets.annotation import Annotation
from unseen.datasets.read_summary import ReadSummary
from unseen.datasets.readers import read_table
from unseen.errors import SourceError
from unseen.evaluation import metrics
from unseen.evaluation.bootstrap import estimate
from unseen.evaluation.document import MISTAKES, Candidate, document
from unseen.evaluation.report import EvaluationReport
from unseen.index.encoding import StageProgress, encode_annotations
from unseen.results.manifest import manifest
from unseen.sources.expand import left_out
from unseen.types import Floats

TOP_K = (1, 5, 10)


@dataclass(frozen=True)
class _Pairs:
    """Pictures that could be read, their captions, and which belong together.

    `rows` are those of the pictures among all; `pairs` (r, 2) are indices of a picture and a
    caption of it.
    """

    paths: Sequence[Path]
    rows: Sequence[int]
    captions: Sequence[str]
    pairs: NDArray[np.intp]


def evaluate_retrieval(
    classifiers: Iterable[Classifier],
    source: str | Path,
    *,
    top_k: Sequence[int] | None = None,
    use_index: bool = True,
    batch_size: int | None = None,
    progress: StageProgress | None = None,
    on_read: Callable[[ReadSummary], None] | None = None,
) -> EvaluationReport:
    """How often pictures find their captions, and captions their pictures.

    Parameters
    ----------
    classifiers : iterable of Classifier
        The models to compare.
    source : str or Path
        A .csv or .jsonl file with the columns `path` and `caption`; a picture may have several.
    top_k : sequence of int, optional
        Among how many results the right one counts; 1, 5 and 10 by default.
    use_index : bool
        Take embeddings from an index where there is one.
    batch_size : int, optional
        Pictures that the network takes at once.
    progress, on_read : callable, optional
        As `unseen.evaluate` takes them.

    Returns
    -------
    EvaluationReport
        Recall at each k, both ways, a candidate for each model.

    Raises
    ------
    SourceError
        The table cannot be read, or no picture with a caption can be.
    """
    source = Path(source)
    table = [(path, caption) for path, caption, _ in read_table(source, "caption")]
    annotations = [
        Annotation(path, ()) for path in dict.fromkeys(path for path, caption in table if caption)
    ]
    encoded = []
    errors: dict[int, str] = {}
    index = None
    for classifier in classifiers:
        pictures = encode_annotations(
            classifier.encoder,
            annotations,
            source,
            use_index=use_index,
            batch_size=batch_size,
            progress=progress,
        )
        errors |= pictures.errors
        index = index or pictures.index
        encoded.append((classifier, pictures.embeddings))
    summary = ReadSummary(
        len(annotations),
        {annotations[row].path: error for row, error in errors.items()},
        sum(not caption for _, caption in table),
        index=index,
    )
    (on_read or ReadSummary.warn)(summary)
    pairs = _pairs(table, [annotation.path for annotation in annotations], errors)
    if not pairs.rows:
        raise SourceError(f"{source}: no picture with a caption is left to judge.")
    candidates = [
        _candidate(classifier, embeddings[pairs.rows], pairs, top_k or TOP_K, progress)
        for classifier, embeddings in encoded
    ]
    facts = summary.to_dict() | {"files": left_out(str(source))}
    del facts["unnamed"]
    return EvaluationReport(
        document("retrieval", str(source), len(pairs.rows), facts, candidates, None)
    )


def model_facts(classifier: Classifier) -> dict[str, Any]:
    """What tells a model from others."""
    model = classifier.model
    return {"model": model.name, "revision": model.revision, "fingerprint": model.fingerprint}


def run_options(classifier: Classifier, kind: str) -> dict[str, Any]:
    """The options of a run, as its manifest has them."""
    names = ("exact", "threads", "precision", "device", "commercial")
    return {"kind": kind} | {name: getattr(classifier.options, name) for name in names}


def _pairs(
    table: Sequence[tuple[Path, str]], paths: Sequence[Path], errors: dict[int, str]
) -> _Pairs:
    rows = [row for row in range(len(paths)) if row not in errors]
    image_of = {paths[row]: image for image, row in enumerate(rows)}
    known = [(path, caption) for path, caption in table if caption and path in image_of]
    caption_of = {caption: i for i, caption in enumerate(dict.fromkeys(c for _, c in known))}
    pairs = [(image_of[path], caption_of[caption]) for path, caption in dict.fromkeys(known)]
    return _Pairs([paths[row] for row in rows], rows, [*caption_of], np.array(pairs, np.intp))


def _candidate(
    classifier: Classifier,
    images: Floats,
    pairs: _Pairs,
    top_k: Sequence[int],
    progress: StageProgress | None,
) -> Candidate:
    captions = classifier.encoder.encode_texts(
        list(pairs.captions),
        progress=None if progress is None else lambda *done: progress("prompts", *done),
    )
    every = metrics.retrieval(images, captions, pairs.pairs, top_k)
    about = {
        **model_facts(classifier),
        "template": None,
        "captions": len(pairs.captions),
        "run": manifest(classifier.model, None, run_options(classifier, "retrieval")),
    }
    mistakes = _mistakes(images, captions, pairs)
    return Candidate(about, [], every, estimate(every, len(images)), mistakes)


def _mistakes(images: Floats, captions: Floats, pairs: _Pairs) -> list[dict[str, Any]]:
    """The pictures that have the most other captions before their own."""
    ranks = metrics.retrieval_ranks(images, captions, pairs.pairs)
    mistakes = []
    for row in np.argsort(-ranks, kind="stable")[:MISTAKES]:
        if not ranks[row]:
            break
        nearest = int((images[row] @ captions.T).argmax())
        true = pairs.pairs[pairs.pairs[:, 0] == row, 1]
        mistakes.append(
            {
                "path": str(pairs.paths[row]),
                "true": [pairs.captions[i] for i in true],
                "said": pairs.captions[nearest],
                "rank": int(ranks[row]) + 1,
            }
        )
    return mistakes
