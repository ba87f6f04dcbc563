"""A scikit-learn estimator: zero-shot classification in a `Pipeline` or `cross_val_score`.

scikit-learn is optional: the extra `learn`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.classifier import Classifier, load
from unseen.encoder import Encoded
from unseen.errors import LabelError, MissingExtraError, SourceError
from unseen.labels.compiled import CompiledLabels
from unseen.load_options import LoadOptions
from unseen.prediction.calibration import Calibration
from unseen.prediction.calibration_file import AUTO, calibration_for
from unseen.sources.item import Source, name_of
from unseen.types import Floats, LabelsLike, TemplateLike

try:
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        TransformerMixin,
    )
    from sklearn.utils.validation import check_is_fitted
except ImportError:
    raise MissingExtraError("unseen.sklearn", "scikit-learn", "learn") from None

CACHE = "_classifier"  # the attribute with the loaded model; neither copied nor pickled


class ZeroShotClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClassifierMixin, BaseEstimator
):
    """`unseen.load` and `classify` as a scikit-learn classifier and transformer.

    ``X`` is a list, array or series of pictures: paths, URLs, PIL images, arrays, whatever
    ``Classifier.classify`` takes. The model is loaded when it is first needed, once a process;
    clones and pickles hold the parameters alone.

    Parameters
    ----------
    labels : list of str, dict, path, LabelSet or CompiledLabels, optional
        What can be predicted. None: the labels of the adapter or the model, where it has its own;
        otherwise the distinct values of ``y`` in ``fit``.
    model : str, Path or LoadOptions
        As in ``unseen.load``; ``LoadOptions`` has the precision, the device, an adapter, ….
    template : str or list of str, optional
        As in ``Classifier.classify``.
    background : iterable of str
        Labels that mean *none of these*: where they win, the prediction is ``"unknown"``.
    calibration : Calibration, str or Path, optional
        As in ``Classifier.classify``.
    batch_size : int, optional
        Pictures that the network takes at once. None: as many as suit the model.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels in sorted order, as scikit-learn expects, with ``"unknown"`` among them where
        there are background labels.
    labels_ : list of str, dict, path, LabelSet or CompiledLabels
        ``labels``, or what takes its place.

    Examples
    --------
    >>> from unseen.sklearn import ZeroShotClassifier
    >>> estimator = ZeroShotClassifier(["cat", "dog"]).fit()
    >>> estimator.predict(["examples/cat.jpg", "examples/dog.jpg"]).tolist()
    ['cat', 'dog']
    """

    def __init__(
        self,
        labels: LabelsLike | CompiledLabels | None = None,
        model: str | Path | LoadOptions = "builtin",
        *,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        calibration: Calibration | str | Path | None = AUTO,
        batch_size: int | None = None,
    ) -> None:
        # scikit-learn's rule: parameters are kept as they are, and checked in fit.
        self.labels = labels
        self.model = model
        self.template = template
        self.background = background
        self.calibration = calibration
        self.batch_size = batch_size

    def fit(self, X: Any = None, y: Any = None) -> ZeroShotClassifier:
        """Encodes the labels and sets ``classes_``. Nothing is trained.

        Parameters
        ----------
        X : ignored
            For the interface of scikit-learn.
        y : array-like of str, optional
            The labels of ``X``; used only where neither ``labels`` nor the model has any.

        Returns
        -------
        ZeroShotClassifier
            This object.

        Raises
        ------
        LabelError
            There are no labels, or they cannot be used.
        ModelError
            The model cannot be loaded.
        """
        self.__dict__.pop(CACHE, None)  # the parameters may be others now
        self.labels_ = self._choose_labels(y)
        self.classes_ = np.array(sorted(self._compile().answers))
        return self

    def predict(self, X: Any) -> NDArray[np.str_]:
        """The most probable class of each picture.

        Parameters
        ----------
        X : sequence of n pictures
            Paths, URLs, PIL images, arrays, …

        Returns
        -------
        ndarray of str, shape (n,)
            Values of ``classes_``.

        Raises
        ------
        ImageError, SourceError
            A picture cannot be read.
        """
        indices = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[indices])

    def predict_proba(self, X: Any) -> Floats:
        """The probability of each class, by the model's own rule or the calibration.

        Parameters
        ----------
        X : sequence of n pictures
            Paths, URLs, PIL images, arrays, …

        Returns
        -------
        ndarray of float32, shape (n, n_classes)
            Columns in the order of ``classes_``. Rows sum to 1, except for a family that was
            trained with a sigmoid (SigLIP) and has no calibration.

        Raises
        ------
        ImageError, SourceError
            A picture cannot be read.
        """
        embeddings = self.transform(X)
        classifier = self._load()
        compiled = self._compile()
        calibration = calibration_for(self.calibration, self.labels_, compiled)
        decision = classifier.decision(calibration=calibration)
        encoded = (Encoded("", row) for row in embeddings)
        predictions = classifier.predictions(encoded, compiled, decision)
        answers = (prediction.probabilities for prediction in predictions)
        rows = [[answer[name] for name in self.classes_] for answer in answers]
        return np.array(rows, dtype=np.float32).reshape(-1, len(self.classes_))

    def decision_function(self, X: Any) -> Floats:
        """The logarithm of the probabilities; of two classes, the second's less the first's.

        Parameters
        ----------
        X : sequence of n pictures
            Paths, URLs, PIL images, arrays, …

        Returns
        -------
        ndarray of float32, shape (n, n_classes), or (n,) for two classes
            The larger, the more probable. For two classes the sign decides: positive means
            ``classes_[1]``.

        Raises
        ------
        ImageError, SourceError
            A picture cannot be read.
        """
        # A probability that float32 rounds to 0 would be -inf, which metrics refuse.
        tiny = np.finfo(np.float32).tiny
        scores = np.log(np.maximum(self.predict_proba(X), tiny))
        return np.asarray(scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores)

    def transform(self, X: Any) -> Floats:
        """The embeddings of the pictures, for an estimator that follows in a pipeline.

        Parameters
        ----------
        X : sequence of n pictures
            Paths, URLs, PIL images, arrays, …

        Returns
        -------
        ndarray of float32, shape (n, d)
            Rows of length 1.

        Raises
        ------
        ImageError, SourceError
            A picture cannot be read.
        """
        check_is_fitted(self)
        return self._load().encode_images(_sources(X), batch_size=self.batch_size)

    @property
    def _n_features_out(self) -> int:
        """For `get_feature_names_out`."""
        return self._load().model.dimension

    def _choose_labels(self, y: Any) -> LabelsLike | CompiledLabels:
        if self.labels is not None:
            return self.labels
        try:
            return self._load().labels
        except LabelError:
            if y is None:
                raise
            return [str(name) for name in np.unique(y)]

    def _load(self) -> Classifier:
        classifier: Classifier | None = self.__dict__.get(CACHE)
        if classifier is None:
            classifier = load(self.model)
            self.__dict__[CACHE] = classifier
        return classifier

    def _compile(self) -> CompiledLabels:
        """The labels for this model; the classifier remembers them."""
        return self._load().compile(
            self.labels_, template=self.template, background=self.background
        )

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in super().__getstate__().items() if key != CACHE}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.target_tags.required = False
        return tags


def _sources(X: Any) -> list[Source]:
    """Each element of X as one picture; a folder among them is refused, not walked.

    A column, (n, 1), is what scikit-learn's ColumnTransformer passes on.
    """
    if isinstance(X, (str, bytes, Path)) or not isinstance(X, Iterable):
        raise SourceError(
            f"X is a {type(X).__name__}; give a list or an array of pictures, also for one: [X]."
        )
    array = np.asarray(X) if hasattr(X, "iloc") else X  # a Series or DataFrame of pandas
    if isinstance(array, np.ndarray) and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    return [Source(name_of(picture, i), picture) for i, picture in enumerate(array)]
