"""Name what no model was trained to name: zero-shot image classification.

    >>> import unseen
    >>> clf = unseen.load()
    >>> clf.classify("examples/cat.jpg", ["cat", "dog"]).label
    'cat'

Importing this loads nothing heavy: a name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unseen.annotation.organize import organize
    from unseen.annotation.propose import label
    from unseen.classifier import Classifier, load
    from unseen.errors import (
        ImageError,
        LabelError,
        MissingExtraError,
        ModelError,
        SourceError,
        StoreError,
        UnseenError,
        UnseenWarning,
    )
    from unseen.images.limits import Limits
    from unseen.images.open import open_image
    from unseen.index.index import Index
    from unseen.labels.compiled import CompiledLabels
    from unseen.labels.label_set import LabelSet
    from unseen.load_options import LoadOptions
    from unseen.pipelines import pipeline
    from unseen.prediction.prediction import Prediction, Scored
    from unseen.results.classification import classify_to_file
    from unseen.results.compare import diff
    from unseen.results.vectors import embed

__version__ = "0.1.0"

# Public name → the file it lives in.
_HOMES = {
    "Classifier": "classifier",
    "CompiledLabels": "labels.compiled",
    "ImageError": "errors",
    "Index": "index.index",
    "LabelError": "errors",
    "LabelSet": "labels.label_set",
    "Limits": "images.limits",
    "LoadOptions": "load_options",
    "MissingExtraError": "errors",
    "ModelError": "errors",
    "Prediction": "prediction.prediction",
    "Scored": "prediction.prediction",
    "SourceError": "errors",
    "StoreError": "errors",
    "UnseenError": "errors",
    "UnseenWarning": "errors",
    "classify_to_file": "results.classification",
    "diff": "results.compare",
    "embed": "results.vectors",
    "label": "annotation.propose",
    "load": "classifier",
    "open_image": "images.open",
    "organize": "annotation.organize",
    "pipeline": "pipelines",
}

__all__ = [
    "Classifier",
    "CompiledLabels",
    "ImageError",
    "Index",
    "LabelError",
    "LabelSet",
    "Limits",
    "LoadOptions",
    "MissingExtraError",
    "ModelError",
    "Prediction",
    "Scored",
    "SourceError",
    "StoreError",
    "UnseenError",
    "UnseenWarning",
    "__version__",
    "classify_to_file",
    "diff",
    "embed",
    "label",
    "load",
    "open_image",
    "organize",
    "pipeline",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'unseen' has no attribute {name!r}")
    value = getattr(import_module(f"unseen.{_HOMES[name]}"), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return __all__
