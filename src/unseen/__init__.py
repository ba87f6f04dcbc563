"""Name what no model was trained to name: zero-shot image classification.

    >>> import unseen
    >>> clf = unseen.load()
    >>> clf.classify("examples/cat.jpg", ["cat", "dog"]).label
    'cat'

Importing this loads nothing heavy: a name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # type checkers take it for true; to import `typing` would take longest

# A public name is a row of `_MODULES`, and a line here for type checkers; a test compares the two.
# A name must not be that of a module of this package: importing the module would hide it.
if TYPE_CHECKING:
    from unseen.annotation.labelling import Labelling as Labelling
    from unseen.annotation.organize import Organized as Organized
    from unseen.annotation.organize import organize as organize
    from unseen.annotation.propose import label as label
    from unseen.classifier import Classifier as Classifier
    from unseen.classifier import load as load
    from unseen.deployment.check import ExportCheck as ExportCheck
    from unseen.deployment.onnx_classifier import Export as Export
    from unseen.deployment.onnx_classifier import ExportOptions as ExportOptions
    from unseen.deployment.web_app import WebExport as WebExport
    from unseen.encoder import Encoded as Encoded
    from unseen.encoder import Encoder as Encoder
    from unseen.errors import ImageError as ImageError
    from unseen.errors import LabelError as LabelError
    from unseen.errors import MissingExtraError as MissingExtraError
    from unseen.errors import ModelError as ModelError
    from unseen.errors import SourceError as SourceError
    from unseen.errors import StoreError as StoreError
    from unseen.errors import UnseenError as UnseenError
    from unseen.errors import UnseenWarning as UnseenWarning
    from unseen.evaluation.evaluation import evaluate as evaluate
    from unseen.evaluation.report import EvaluationReport as EvaluationReport
    from unseen.evaluation.report import Gate as Gate
    from unseen.explanation.explanation import Explanation as Explanation
    from unseen.images.limits import Limits as Limits
    from unseen.images.open import open_image as open_image
    from unseen.index.hits import Cluster as Cluster
    from unseen.index.hits import Hit as Hit
    from unseen.index.hits import Hits as Hits
    from unseen.index.index import Index as Index
    from unseen.index.view import IndexView as IndexView
    from unseen.labels.compiled import CompiledLabels as CompiledLabels
    from unseen.labels.label_set import Label as Label
    from unseen.labels.label_set import LabelSet as LabelSet
    from unseen.learning.adapt import adapt as adapt
    from unseen.learning.calibrate import calibrate as calibrate
    from unseen.learning.distil.classifier import Distilled as Distilled
    from unseen.learning.distil.classifier import DistilOptions as DistilOptions
    from unseen.learning.distil.classifier import distil as distil
    from unseen.learning.distil.model_card import Teacher as Teacher
    from unseen.learning.distil.training import Teaching as Teaching
    from unseen.learning.distil.training_set import TrainingPicture as TrainingPicture
    from unseen.learning.distil.training_set import TrainingSet as TrainingSet
    from unseen.learning.tune.options import TuneOptions as TuneOptions
    from unseen.learning.tune.tuning import TuneReport as TuneReport
    from unseen.learning.tune.tuning import tune as tune
    from unseen.load_options import LoadOptions as LoadOptions
    from unseen.models.model import Model as Model
    from unseen.pipelines import pipeline as pipeline
    from unseen.prediction.adapter import Adapter as Adapter
    from unseen.prediction.calibration import Calibration as Calibration
    from unseen.prediction.decision import Decision as Decision
    from unseen.prediction.facets import Facet as Facet
    from unseen.prediction.facets import FacetPrediction as FacetPrediction
    from unseen.prediction.open_set import ReferenceSet as ReferenceSet
    from unseen.prediction.prediction import Prediction as Prediction
    from unseen.prediction.prediction import Predictions as Predictions
    from unseen.prediction.prediction import Scored as Scored
    from unseen.results.classification import classify_facets_to_file as classify_facets_to_file
    from unseen.results.classification import classify_to_file as classify_to_file
    from unseen.results.compare import Diff as Diff
    from unseen.results.compare import diff as diff
    from unseen.results.summary import RunSummary as RunSummary
    from unseen.results.tables import to_pandas as to_pandas
    from unseen.results.vectors import embed as embed
    from unseen.sources.item import Source as Source

__version__ = "0.1.0"

_MODULES = {
    "Adapter": "prediction.adapter",
    "Calibration": "prediction.calibration",
    "Classifier": "classifier",
    "Cluster": "index.hits",
    "CompiledLabels": "labels.compiled",
    "Decision": "prediction.decision",
    "Diff": "results.compare",
    "DistilOptions": "learning.distil.classifier",
    "Distilled": "learning.distil.classifier",
    "Encoded": "encoder",
    "Encoder": "encoder",
    "EvaluationReport": "evaluation.report",
    "Explanation": "explanation.explanation",
    "Export": "deployment.onnx_classifier",
    "ExportCheck": "deployment.check",
    "ExportOptions": "deployment.onnx_classifier",
    "Facet": "prediction.facets",
    "FacetPrediction": "prediction.facets",
    "Gate": "evaluation.report",
    "Hit": "index.hits",
    "Hits": "index.hits",
    "ImageError": "errors",
    "Index": "index.index",
    "IndexView": "index.view",
    "Label": "labels.label_set",
    "LabelError": "errors",
    "LabelSet": "labels.label_set",
    "Labelling": "annotation.labelling",
    "Limits": "images.limits",
    "LoadOptions": "load_options",
    "MissingExtraError": "errors",
    "Model": "models.model",
    "ModelError": "errors",
    "Organized": "annotation.organize",
    "Prediction": "prediction.prediction",
    "Predictions": "prediction.prediction",
    "ReferenceSet": "prediction.open_set",
    "RunSummary": "results.summary",
    "Scored": "prediction.prediction",
    "Source": "sources.item",
    "SourceError": "errors",
    "StoreError": "errors",
    "Teacher": "learning.distil.model_card",
    "Teaching": "learning.distil.training",
    "TrainingPicture": "learning.distil.training_set",
    "TrainingSet": "learning.distil.training_set",
    "TuneOptions": "learning.tune.options",
    "TuneReport": "learning.tune.tuning",
    "UnseenError": "errors",
    "UnseenWarning": "errors",
    "WebExport": "deployment.web_app",
    "adapt": "learning.adapt",
    "calibrate": "learning.calibrate",
    "classify_facets_to_file": "results.classification",
    "classify_to_file": "results.classification",
    "diff": "results.compare",
    "distil": "learning.distil.classifier",
    "embed": "results.vectors",
    "evaluate": "evaluation.evaluation",
    "label": "annotation.propose",
    "load": "classifier",
    "open_image": "images.open",
    "organize": "annotation.organize",
    "pipeline": "pipelines",
    "to_pandas": "results.tables",
    "tune": "learning.tune.tuning",
}

__all__ = sorted([*_MODULES, "__version__"])


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'unseen' has no attribute {name!r}")
    value = getattr(import_module(f"unseen.{_MODULES[name]}"), name)
    globals()[name] = value  # the next use finds it without coming here
    return value


def __dir__() -> list[str]:
    return __all__
