"""`Classifier` and `load`: pictures and labels in, predictions out."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.encoder import Encoded, Encoder
from unseen.errors import ImageError, LabelError, LabelWarning, ModelError, SourceError
from unseen.images.limits import DEFAULT_LIMITS, Limits
from unseen.labels.compile import compile_labels
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import Label, LabelSet
from unseen.labels.traps import alone, traps
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.models.model import Model
from unseen.prediction.calibration_file import AUTO, calibration_for, loaded, refuse_for_tiles
from unseen.prediction.decision import Decision
from unseen.prediction.facets import (
    Facet,
    FacetPrediction,
    check_names,
    joined,
    multi_label_sets,
)
from unseen.prediction.open_set import ReferenceSet
from unseen.prediction.predict import predict_encoded, predict_facets, warn_undecided
from unseen.prediction.prediction import Prediction
from unseen.sources.item import Source, name_of
from unseen.system.safetensors_file import SUFFIX

if TYPE_CHECKING:
    from unseen.deployment.check import ExportCheck
    from unseen.deployment.classifier_graph import Answering
    from unseen.deployment.onnx_classifier import Export, ExportOptions
    from unseen.deployment.web_app import WebExport
    from unseen.explanation.explainer import Explainer
    from unseen.explanation.explanation import Explanation
    from unseen.prediction.adapter import Adapter
    from unseen.prediction.calibration import Calibration
    from unseen.types import Floats, ImageLike, LabelsLike, Progress, Sources, TemplateLike

CACHED_LABEL_SETS = 16  # compiled label sets that a classifier remembers


def load(
    model: str | Path | LoadOptions = "builtin",
    *,
    revision: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    exact: bool = False,
    threads: int | None = None,
    precision: str = "fp32",
    device: str | int = "auto",
    commercial: bool = False,
    adapter: str | Path | Adapter | None = None,
) -> Classifier:
    """A classifier of a model; weights are downloaded now if they are not on this machine.

    Networks are compiled once, when they are first needed.

    Parameters
    ----------
    model : str, Path or LoadOptions
        ``builtin``, a short name (``unseen models`` lists them), a hub id (``org/name`` or
        ``org/name@revision``), a folder, or an .onnx file of ``unseen distil``, which brings its
        labels. With a ``LoadOptions`` every other argument stays at its default.
    revision : str, optional
        Branch, tag or commit of a hub id.
    limits : Limits
        What a picture may cost.
    exact : bool
        Decode JPEGs in full before resizing.
    threads : int, optional
        Of the networks on a CPU. None: every core that may be used.
    precision : str
        ``fp32``, ``fp16``, ``int8`` or ``auto``; ``unseen help speed`` says what they do.
    device : str, int or torch.device
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``; a number is that GPU, -1 the CPU.
    commercial : bool
        Refuse a hub id, and a file whose teacher has a licence, that is not known to allow
        commercial use.
    adapter : str, Path or Adapter, optional
        What ``unseen adapt`` made for this model.

    Returns
    -------
    Classifier
        Keep it: it holds the networks, and the label sets that it has encoded.

    Raises
    ------
    ModelError
        The model is not there, cannot be read, or is not allowed; or an option is unknown.
    LabelError
        The adapter cannot be read, or was made for another model.

    Examples
    --------
    >>> import unseen
    >>> unseen.load(device="cpu")
    Classifier('builtin', fp32, cpu)
    >>> unseen.load(unseen.LoadOptions(device="cpu", exact=True))
    Classifier('builtin', fp32, cpu, exact)
    """
    options = LoadOptions(
        model="builtin" if isinstance(model, LoadOptions) else str(model),
        revision=revision,
        limits=limits,
        exact=exact,
        threads=threads,
        precision=precision,
        device=device,  # type: ignore[arg-type]  # LoadOptions makes a str of it
        commercial=commercial,
        adapter=adapter,
    )
    if isinstance(model, LoadOptions):
        if options != DEFAULT_LOAD_OPTIONS:
            raise ModelError(
                "load takes a LoadOptions or single options, not both; change one with "
                "dataclasses.replace."
            )
        options = model
    return Classifier(Encoder.load(options), _adapter(options.adapter))


def _adapter(adapter: str | Path | Adapter | None) -> Adapter | None:
    if adapter is None:
        return None
    from unseen.prediction.adapter import Adapter  # noqa: PLC0415 - few models have one

    return adapter if isinstance(adapter, Adapter) else Adapter.load(adapter)


class Classifier:
    """Finds the labels that fit a picture. Make one with `load` and keep it.

    It holds the networks, and the label sets that it has encoded. It may be used by several
    threads, and pickled: the other process loads the model anew.

    Parameters
    ----------
    encoder : Encoder
        Makes embeddings of pictures and texts.
    adapter : Adapter, optional
        What a few labelled pictures taught, for the same model.

    Raises
    ------
    LabelError
        If the adapter was made for another model.

    Examples
    --------
    >>> import unseen
    >>> clf = unseen.load()
    >>> clf.classify("examples/cat.jpg", ["cat", "dog"]).label
    'cat'
    """

    def __init__(self, encoder: Encoder, adapter: Adapter | None = None) -> None:
        if adapter is not None:
            adapter.check(encoder.model)
        self.encoder = encoder
        self.adapter = adapter
        self._compiled: OrderedDict[Hashable, CompiledLabels] = OrderedDict()
        self._reference_set: ReferenceSet | None = None
        self._explainer: Explainer | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """The encoder loads its model anew; label sets are encoded again when they are needed."""
        return Classifier, (self.encoder, self.adapter)

    def __repr__(self) -> str:
        return f"Classifier({self.encoder.described}{', adapted' if self.adapter else ''})"

    @property
    def options(self) -> LoadOptions:
        """How to load the same again, with the adapter itself and not its path."""
        return replace(self.encoder.options, adapter=self.adapter)

    @property
    def model(self) -> Model:
        """The checkpoint: name, family, dimension, score."""
        return self.encoder.model

    @property
    def labels(self) -> LabelSet:
        """The labels of the adapter, or of the model. LabelError where neither has any."""
        if self.adapter is not None:
            return LabelSet.of(self.adapter.labels)
        if not self.model.labels:
            raise LabelError(
                "no labels were given, and neither the model nor the adapter has labels of its own."
            )
        background = set(self.model.background)
        return LabelSet(
            tuple(Label(name, background=name in background) for name in self.model.labels)
        )

    def encode_images(self, sources: Sources, *, batch_size: int | None = None) -> Floats:
        """The embeddings of pictures.

        Parameters
        ----------
        sources : path, URL, image, folder, glob, archive, or an iterable of these
            n pictures.
        batch_size : int, optional
            Pictures that the network takes at once; by default as many as suit the model.

        Returns
        -------
        float32 array (n, d)
            Rows of length 1, in order.

        Raises
        ------
        ImageError, SourceError
            For the first picture that cannot be read.

        Examples
        --------
        >>> import unseen
        >>> unseen.load().encode_images(["examples/cat.jpg", "examples/dog.jpg"]).shape
        (2, 1384)
        """
        return self.encoder.encode_images(sources, batch_size=batch_size)

    def encode_texts(self, texts: list[str]) -> Floats:
        """The embeddings of texts, as they are: no template is applied.

        Parameters
        ----------
        texts : list of str
            n texts.

        Returns
        -------
        float32 array (n, d)
            Rows of length 1, in order.

        Examples
        --------
        >>> import unseen
        >>> unseen.load().encode_texts(["a photo of a cat", "a cat"]).shape
        (2, 1384)
        """
        return self.encoder.encode_texts(texts)

    def compile(
        self,
        labels: LabelsLike | CompiledLabels | None = None,
        *,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        concept: str | None = None,
        progress: Progress | None = None,
    ) -> CompiledLabels:
        """Encode a label set for this model, for reuse and for `CompiledLabels.save`.

        The last sixteen sets are remembered, so that the same labels are encoded once.

        Parameters
        ----------
        labels : list, dict, str, Path, LabelSet or CompiledLabels, optional
            What `LabelSet.of` takes, a compiled set, or the path of a saved one; by default the
            labels of the adapter, or of the model.
        template : str or list of str, optional
            A string with ``{}``, several, or the name of a set of templates; by default the
            model's own.
        background : iterable of str
            Labels that mean *none of these*.
        concept : str, optional
            What all labels are a kind of, in a word or two (``bird``): it goes into the prompts.
        progress : callable, optional
            Called with how many prompts are encoded, and of how many, for those that are new.

        Returns
        -------
        CompiledLabels

        Raises
        ------
        LabelError
            If the labels are invalid or cannot be read, or a compiled set belongs to another model.

        Examples
        --------
        >>> import unseen
        >>> clf = unseen.load()
        >>> labels = clf.compile(["cat", "dog"], background=["something else"])
        >>> labels.answers
        ('cat', 'dog', 'unknown')
        >>> clf.classify("examples/cat.jpg", labels).label
        'cat'
        """
        if labels is None:
            labels = self.labels
        if isinstance(labels, (str, Path)) and Path(labels).suffix == SUFFIX:
            labels = CompiledLabels.load(labels)
        if isinstance(labels, CompiledLabels):
            if template is not None or tuple(background) or concept is not None:
                raise LabelError(
                    f"the label set {labels.name!r} is compiled: its templates, concept and "
                    "background labels cannot be changed; give them to `unseen labels compile`."
                )
            return self.adapted(labels.for_model(self.model))
        label_set = LabelSet.of(labels, template=template, background=background, concept=concept)
        key = (label_set, _stamps(label_set))
        compiled = self._compiled.pop(key, None)
        if compiled is None:
            for trap in traps(label_set, self.model):
                warnings.warn(trap, LabelWarning, stacklevel=2)
            compiled = self.adapted(compile_labels(self.encoder, label_set, progress=progress))
        self._compiled[key] = compiled
        if len(self._compiled) > CACHED_LABEL_SETS:
            self._compiled.popitem(last=False)
        return compiled

    def adapted(self, compiled: CompiledLabels) -> CompiledLabels:
        """The set with the adapter applied, if there is one; twice is the same as once.

        Parameters
        ----------
        compiled : CompiledLabels
            A label set of the same model.

        Returns
        -------
        CompiledLabels
        """
        return compiled if self.adapter is None else self.adapter.apply(compiled)

    def classify(
        self,
        source: ImageLike,
        labels: LabelsLike | CompiledLabels | None = None,
        *,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        concept: str | None = None,
        multi_label: bool = False,
        top_k: int | None = None,
        min_score: float | None = None,
        unknown: str | None = None,
        calibration: Calibration | str | Path | None = AUTO,
        tiles: str | None = None,
    ) -> Prediction:
        """The prediction for one picture.

        Parameters
        ----------
        source : path, URL, data URI, bytes, binary file, Pillow image or array
            The picture. An array is (height, width), (height, width, 3) or (height, width, 4).
        labels : list, dict, str, Path, LabelSet or CompiledLabels, optional
            As `compile` takes them; by default the labels of the adapter, or of the model.
        template : str or list of str, optional
            A string with ``{}``, several, or the name of a set of templates; by default the
            model's own.
        background : iterable of str
            Labels that mean *none of these*: where one of them wins, the answer is *unknown*.
        concept : str, optional
            What all labels are a kind of, in a word or two (``bird``): it goes into the prompts.
        multi_label : bool
            Whether each label is a yes or no of its own, yes from its threshold on (`min_score`,
            or 0.5, where it has none); else the labels compete.
        top_k : int, optional
            The most labels that a prediction has; by default all.
        min_score : float, optional
            The least probability of a label in a prediction, from 0 to 1. Where no label has it,
            the prediction is *unknown*.
        unknown : str, optional
            ``"auto"`` measures the evidence that any label is there, and the prediction is
            *unknown* where it is too little.
        calibration : Calibration, str or Path, optional
            What `unseen.calibrate` learnt of just these labels, or its file; None: none. By default
            (``"auto"``) the one that lies beside the label file and fits, as on the command line:
            ``labels.calibration.json`` beside ``labels.txt``.
        tiles : str, optional
            Look at overlapping tiles of the picture, too, for what is small in it: ``2x2``,
            ``3x3``, ``pyramid`` (both), or ``auto`` (``3x3``, but none of a picture of few pixels).
            `Scored.tile` says which tile has the score. A calibration is not used with them.

        Returns
        -------
        Prediction

        Raises
        ------
        ImageError, SourceError
            If the picture cannot be read.
        LabelError
            If the labels or an option are invalid, or do not fit the model.

        Examples
        --------
        >>> import unseen
        >>> clf = unseen.load()
        >>> prediction = clf.classify("examples/cat.jpg", ["cat", "dog", "castle"], top_k=2)
        >>> prediction.label, len(prediction.ranking), prediction.left_out
        ('cat', 2, 1)
        """
        if isinstance(source, (list, tuple, Iterator)):
            raise SourceError(
                "classify takes one picture; classify_many takes a list of them, or a generator."
            )
        self.encoder.begin_compiling()
        compiled, decision = self.labels_and_decision(
            labels,
            template,
            background,
            multi_label,
            top_k,
            min_score,
            unknown,
            calibration,
            concept=concept,
            tiles=tiles,
        )
        item = Source(name_of(source, 0), source)  # a folder is then refused, not walked
        encoded = (
            [self.encoder.encode_one(item)] if tiles is None else [*self.encoded([item], tiles)]
        )
        if encoded[0].error is not None:
            raise encoded[0].error
        warn_if_alone(compiled, decision)
        warn_undecided(compiled, decision)
        return predict_encoded(encoded, compiled, decision)[0]

    def explain(
        self,
        source: ImageLike,
        labels: LabelsLike | CompiledLabels | None = None,
        for_: str | None = None,
        against: str | None = None,
        *,
        method: str = "auto",
        template: TemplateLike = None,
        background: Iterable[str] = (),
    ) -> Explanation:
        """Why a picture has a label: a map of it, and how far to believe the map.

        ``unseen help explain`` says what the map is, and what it is not.

        Parameters
        ----------
        source : path, URL, data URI, bytes, binary file, Pillow image or array
            The picture.
        labels, template, background
            As in `classify`.
        for_ : str, optional
            The label that is explained; by default the best.
        against : str, optional
            Another label that it is set against; by default the mean of the labels.
        method : str
            ``parts``, ``drop`` (slower; for transformers), or ``auto``: the one that earned trust
            on this model, which is measured once and remembered.

        Returns
        -------
        Explanation
            Its `map` is in the pixels of the original.

        Raises
        ------
        ImageError, SourceError
            If the picture cannot be read.
        LabelError
            If the labels are invalid, or `for_` or `against` is not among them.
        ModelError
            If the model cannot be explained by place.

        Examples
        --------
        >>> import unseen
        >>> clf = unseen.load()
        >>> explanation = clf.explain("examples/cat.jpg", ["cat", "dog", "castle"])
        >>> explanation.label, explanation.map.shape
        ('cat', (750, 1000))
        """
        if isinstance(source, (list, tuple, Iterator)):
            raise SourceError("explain takes one picture; explainer().explain_many takes several.")
        compiled = self.compile(labels, template=template, background=background)
        item = Source(name_of(source, 0), source)
        explained = self.explainer().explain_many([item], compiled, for_, against, method=method)
        (explanation,) = explained
        if explanation.error is not None:
            raise ImageError(explanation.error)
        return explanation

    def explainer(self) -> Explainer:
        """What explains pictures with this model; made once.

        Returns
        -------
        Explainer

        Raises
        ------
        ModelError
            If the model cannot be explained by place.

        Examples
        --------
        >>> import unseen
        >>> unseen.load().explainer().parts_encoder.exact
        False
        """
        from unseen.explanation.explainer import Explainer  # noqa: PLC0415 - few calls explain

        if self._explainer is None:
            self._explainer = Explainer(self.encoder)
        return self._explainer

    def classify_many(
        self,
        sources: Sources,
        labels: LabelsLike | CompiledLabels | None = None,
        *,
        batch_size: int | None = None,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        concept: str | None = None,
        multi_label: bool = False,
        top_k: int | None = None,
        min_score: float | None = None,
        unknown: str | None = None,
        calibration: Calibration | str | Path | None = AUTO,
        tiles: str | None = None,
    ) -> Iterator[Prediction]:
        """A prediction for each picture, in order, as they are read; memory is bounded.

        A picture that cannot be read is a prediction with an `error`, and does not stop the stream.

        Parameters
        ----------
        sources : path, URL, image, folder, glob, archive, or an iterable of these
            The pictures; a generator is read as it is needed.
        labels : list, dict, str, Path, LabelSet or CompiledLabels, optional
            As `compile` takes them; by default the labels of the adapter, or of the model.
        batch_size : int, optional
            Pictures that the network takes at once; by default as many as suit the model.
        template : str or list of str, optional
            A string with ``{}``, several, or the name of a set of templates; by default the
            model's own.
        background : iterable of str
            Labels that mean *none of these*: where one of them wins, the answer is *unknown*.
        concept : str, optional
            What all labels are a kind of, in a word or two (``bird``): it goes into the prompts.
        multi_label : bool
            Whether each label is a yes or no of its own, yes from its threshold on (`min_score`,
            or 0.5, where it has none); else the labels compete.
        top_k : int, optional
            The most labels that a prediction has; by default all.
        min_score : float, optional
            The least probability of a label in a prediction, from 0 to 1. Where no label has it,
            the prediction is *unknown*.
        unknown : str, optional
            ``"auto"`` measures the evidence that any label is there, and the prediction is
            *unknown* where it is too little.
        calibration : Calibration, str or Path, optional
            What `unseen.calibrate` learnt of just these labels, or its file; None: none. By default
            (``"auto"``) the one that lies beside the label file and fits, as on the command line:
            ``labels.calibration.json`` beside ``labels.txt``.
        tiles : str, optional
            Look at overlapping tiles of the picture, too, for what is small in it: ``2x2``,
            ``3x3``, ``pyramid`` (both), or ``auto`` (``3x3``, but none of a picture of few pixels).
            `Scored.tile` says which tile has the score. A calibration is not used with them.

        Returns
        -------
        iterator of Prediction
            One for each picture, in order.

        Raises
        ------
        LabelError
            If the labels or an option are invalid, or do not fit the model.
        SourceError
            If a folder, glob or archive does not exist.

        Examples
        --------
        >>> import unseen
        >>> clf = unseen.load()
        >>> sources = ["examples/cat.jpg", "examples/dog.jpg", "missing.jpg"]
        >>> for prediction in clf.classify_many(sources, ["cat", "dog"]):
        ...     print(prediction.label, prediction.error)
        cat None
        dog None
        None 'missing.jpg': there is no such file.
        """
        compiled, decision = self.labels_and_decision(
            labels,
            template,
            background,
            multi_label,
            top_k,
            min_score,
            unknown,
            calibration,
            concept=concept,
            tiles=tiles,
        )
        stream = self.encoded(sources, tiles, batch_size=batch_size)
        return self.predictions(stream, compiled, decision, batch_size=batch_size)

    def encoded(
        self, sources: Sources, tiles: str | None = None, *, batch_size: int | None = None
    ) -> Iterator[Encoded]:
        """What `predictions` takes: the embedding of each picture, and of its tiles.

        Parameters
        ----------
        sources : path, URL, image, folder, glob, archive, or an iterable of these
            The pictures; a generator is read as it is needed.
        tiles : str, optional
            As in `classify_many`.
        batch_size : int, optional
            Pictures, or tiles, that the network takes at once.

        Returns
        -------
        iterator of Encoded
            One for each picture, in order; with an error for one that cannot be read.

        Raises
        ------
        ImageError
            For tiles that do not exist.
        """
        if tiles is None:
            return self.encoder.stream_images(sources, batch_size=batch_size)
        from unseen.tiles import stream_tiles  # noqa: PLC0415 - few calls look at tiles

        return stream_tiles(self.encoder, sources, tiles, batch_size=batch_size)

    def compile_facets(
        self,
        facets: Mapping[str, LabelsLike | CompiledLabels | Facet],
        *,
        multi_label: bool | Collection[str] = False,
        top_k: int | None = None,
        min_score: float | None = None,
        unknown: str | None = None,
        calibration: str | None = AUTO,
    ) -> dict[str, Facet]:
        """Several label sets, compiled, each with how it is answered.

        Parameters
        ----------
        facets, multi_label, top_k, min_score, unknown, calibration
            As in `classify_facets`. A `Facet` is taken as it is.

        Returns
        -------
        dict of str to Facet
            The name of each set → it, in order.

        Raises
        ------
        LabelError
            As `classify_facets`.
        """
        check_names([*facets])
        multi = multi_label_sets(multi_label, [*facets])
        compiled = {}
        for name, labels in facets.items():
            if isinstance(labels, Facet):
                compiled[name] = labels
                continue
            words, decision = self.labels_and_decision(
                labels,
                multi_label=name in multi,
                top_k=top_k,
                min_score=min_score,
                unknown=unknown,
                calibration=calibration,
            )
            compiled[name] = Facet(words, decision)
        return compiled

    def classify_facets(
        self,
        sources: Sources,
        facets: Mapping[str, LabelsLike | CompiledLabels | Facet],
        *,
        batch_size: int | None = None,
        multi_label: bool | Collection[str] = False,
        top_k: int | None = None,
        min_score: float | None = None,
        unknown: str | None = None,
        calibration: str | None = AUTO,
    ) -> Iterator[FacetPrediction]:
        """The answers of several label sets for each picture, which is encoded once.

        Parameters
        ----------
        sources : path, URL, image, folder, glob, archive, or an iterable of these
            The pictures, as `classify_many` takes them.
        facets : mapping of str to labels, CompiledLabels or Facet
            The name of each set → its labels, as `compile` takes them. A `LabelSet` brings its own
            templates and background labels.
        batch_size : int, optional
            Pictures that the network takes at once; by default as many as suit the model.
        multi_label : bool or collection of str
            Whether each label is a yes or no of its own: in all sets, or in those of these names.
        top_k, min_score, unknown
            As in `classify_many`, of each set.
        calibration : str, optional
            ``"auto"``: of each set the one that lies beside its label file and fits. None: none.

        Returns
        -------
        iterator of FacetPrediction
            One for each picture, in order.

        Raises
        ------
        LabelError
            If labels, an option or the name of a set is invalid.
        SourceError
            If a folder, glob or archive does not exist.

        Examples
        --------
        >>> import unseen
        >>> clf = unseen.load()
        >>> sets = {"animal": ["cat", "dog"], "building": ["castle", "bridge"]}
        >>> for prediction in clf.classify_facets(["examples/castle.jpg"], sets):
        ...     print(prediction["building"].label, [*prediction.labels])
        castle ['animal', 'building']
        """
        compiled = self.compile_facets(
            facets,
            multi_label=multi_label,
            top_k=top_k,
            min_score=min_score,
            unknown=unknown,
            calibration=calibration,
        )
        stream = self.encoder.stream_images(sources, batch_size=batch_size)
        return self.facet_predictions(stream, compiled, batch_size=batch_size)

    def facet_predictions(
        self,
        stream: Iterator[Encoded],
        facets: Mapping[str, Facet],
        *,
        batch_size: int | None = None,
    ) -> Iterator[FacetPrediction]:
        """The answers of several label sets for pictures that are encoded already, in order.

        Parameters
        ----------
        stream : iterator of Encoded
            Embeddings, or errors in their place.
        facets : mapping of str to Facet
            What `compile_facets` gives.
        batch_size : int, optional
            Pictures that are decided at once; by default as many as suit the model.

        Returns
        -------
        iterator of FacetPrediction
            One for each of the stream.
        """
        if batch_size is None:
            batch_size = self.encoder.batch_size
        for facet in facets.values():
            warn_if_alone(facet.labels, facet.decision)
            warn_undecided(facet.labels, facet.decision)
        while batch := list(islice(stream, batch_size)):
            yield from predict_facets(batch, facets)

    def transduce_facets(
        self, stream: Iterable[Encoded], facets: Mapping[str, Facet]
    ) -> Iterator[FacetPrediction]:
        """As `facet_predictions`, each picture with the help of all others: see `transduce`.

        Parameters
        ----------
        stream : iterable of Encoded
            The embeddings of a collection, or errors in their place.
        facets : mapping of str to Facet
            What `compile_facets` gives.

        Returns
        -------
        iterator of FacetPrediction
            One for each of the stream, in order.

        Raises
        ------
        LabelError
            As `transduce`, for any of the sets.
        """
        encoded = list(stream)
        return joined(
            {
                name: self.transduce(encoded, facet.labels, facet.decision)
                for name, facet in facets.items()
            }
        )

    def export(
        self,
        labels: LabelsLike | CompiledLabels | None,
        path: str | Path,
        options: ExportOptions | None = None,
        *,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        multi_label: bool = False,
        unknown: str | None = None,
        calibration: Calibration | str | Path | None = AUTO,
    ) -> Export:
        """Write the model and a label set as one ONNX file that takes a raw picture.

        It runs in plain ONNX Runtime, without unseen and without Python: docs/export.md.

        Parameters
        ----------
        labels, template, background
            As in `compile`.
        path : str or Path
            A name that ends in .onnx; replaced where it exists.
        options : ExportOptions, optional
            Precision, fixed size, and whether the embedding is an output. None: its defaults.
        multi_label : bool
            Whether each label is a yes or no of its own.
        unknown : str, optional
            ``auto``: the file also gives the evidence that any of the labels is there, by which a
            picture is *unknown*.
        calibration : Calibration, str or Path, optional
            As in `classify`.

        Returns
        -------
        Export

        Raises
        ------
        LabelError
            If the labels are invalid, the calibration does not fit them, or their evidence cannot
            be measured.
        SourceError
            If `path` does not end in .onnx.
        ModelError
            If the preprocessing of the model cannot be written as ONNX.

        Examples
        --------
        >>> import tempfile, unseen
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     unseen.load().export(["cat", "dog"], f"{folder}/pets.onnx").answers
        ('cat', 'dog')
        """
        from unseen.deployment import onnx_classifier  # noqa: PLC0415 - few calls export

        answering = self._answering(labels, template, background, multi_label, unknown, calibration)
        options = options or onnx_classifier.DEFAULT_EXPORT_OPTIONS
        return onnx_classifier.export(self.encoder, answering, path, options)

    def export_web(
        self,
        labels: LabelsLike | CompiledLabels | None,
        folder: str | Path,
        *,
        precision: str = "fp16",
        runtime: str | Path | None = None,
        webgpu: bool = False,
        with_embedding: bool = False,
        overwrite: bool = False,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        multi_label: bool = False,
        unknown: str | None = None,
        calibration: Calibration | str | Path | None = AUTO,
    ) -> WebExport:
        """Write the model and a label set as a web app: a folder for any static host.

        Pictures are classified in the browser, and no request goes to anybody else.

        Parameters
        ----------
        labels, template, background
            As in `compile`.
        folder : str or Path
            The folder to write, whole or not at all.
        precision : str
            ``fp32``, ``fp16`` (half the size) or ``int8`` (a quarter).
        runtime : str or Path, optional
            A folder of the npm package onnxruntime-web; by default its two files are fetched once.
        webgpu : bool
            Take the larger runtime, which computes with WebGPU where that gives the right answers.
        with_embedding : bool
            Whether answers have the picture's embedding, too.
        overwrite : bool
            Replace an exported web app.
        multi_label, unknown, calibration
            As in `export`.

        Returns
        -------
        WebExport

        Raises
        ------
        LabelError
            As `export`.
        SourceError
            If the folder exists, or the runtime cannot be found or fetched.
        ModelError
            If the net cannot be exported, or is too large for a browser.
        """
        from unseen.deployment.web_app import export_web  # noqa: PLC0415 - as above

        return export_web(
            self.encoder,
            self._answering(labels, template, background, multi_label, unknown, calibration),
            folder,
            precision=precision,
            runtime=runtime,
            webgpu=webgpu,
            with_embedding=with_embedding,
            overwrite=overwrite,
        )

    def export_dlstreamer(
        self,
        labels: LabelsLike | CompiledLabels | None,
        path: str | Path,
        *,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        calibration: Calibration | str | Path | None = AUTO,
    ) -> Path:
        """Write a label set as the file that Intel's DL Streamer reads: docs/export.md.

        It is what ``gvaclassify`` takes as ``zeroshot-embeddings-file``.

        Parameters
        ----------
        labels, template, background
            As in `compile`. Background labels are labels like the others there.
        path : str or Path
            A name that ends in .safetensors; replaced where it exists, and so is the list of labels
            beside it, NAME.labels.txt.
        calibration : Calibration, str or Path, optional
            What `unseen.calibrate` learnt of just these labels, of which the temperature is used;
            by default as in `classify`.

        Returns
        -------
        Path
            The list of labels, which ``gvaclassify`` takes as ``labels-file``.

        Raises
        ------
        LabelError
            If the labels are invalid, or their score is none that DL Streamer computes.
        """
        from unseen.deployment.dlstreamer import export_dlstreamer  # noqa: PLC0415 - as above

        answering = self._answering(labels, template, background, False, None, calibration)
        return export_dlstreamer(answering.labels, path, answering.calibration)

    def check_export(
        self,
        exported: Export,
        labels: LabelsLike | CompiledLabels | None,
        sources: Sources | None = None,
        *,
        multi_label: bool = False,
        unknown: str | None = None,
        calibration: Calibration | str | Path | None = AUTO,
    ) -> ExportCheck:
        """Run an exported file in plain ONNX Runtime and compare it with this classifier.

        Parameters
        ----------
        exported : Export
            What `export` gave.
        labels, multi_label, unknown, calibration
            As they were given to `export`.
        sources : Sources, optional
            Pictures; by default two that ship with the package.

        Returns
        -------
        ExportCheck

        Raises
        ------
        ModelError
            If the file cannot be run, or no picture can be read.
        """
        from unseen.deployment.check import check  # noqa: PLC0415 - as above

        answering = self._answering(labels, None, (), multi_label, unknown, calibration)
        return check(exported, self.encoder, answering, sources)

    def _answering(
        self,
        labels: LabelsLike | CompiledLabels | None,
        template: TemplateLike,
        background: Iterable[str],
        multi_label: bool,
        unknown: str | None,
        calibration: Calibration | str | Path | None,
    ) -> Answering:
        from unseen.deployment.classifier_graph import Answering  # noqa: PLC0415 - as above

        compiled, decision = self.labels_and_decision(
            labels, template, background, multi_label, unknown=unknown, calibration=calibration
        )
        return Answering(compiled, decision.calibration, multi_label, decision.reference_set)

    def labels_and_decision(
        self,
        labels: LabelsLike | CompiledLabels | None = None,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        multi_label: bool = False,
        top_k: int | None = None,
        min_score: float | None = None,
        unknown: str | None = None,
        calibration: Calibration | str | Path | None = AUTO,
        *,
        concept: str | None = None,
        tiles: str | None = None,
    ) -> tuple[CompiledLabels, Decision]:
        """What `compile` and `decision` make of the arguments of `classify_many`.

        Options are checked, and a calibration that is given is read, before labels are encoded.

        Parameters
        ----------
        labels, template, background, multi_label, top_k, min_score, unknown, calibration
            As in `classify_many`.
        concept, tiles
            As in `classify_many`.

        Returns
        -------
        compiled : CompiledLabels
        decision : Decision

        Raises
        ------
        LabelError
            If the labels or an option are invalid, or do not fit the model.

        Examples
        --------
        >>> import unseen
        >>> compiled, decision = unseen.load().labels_and_decision(["cat", "dog"], top_k=1)
        >>> compiled.answers, decision.top_k
        (('cat', 'dog'), 1)
        """
        given = None if calibration == AUTO else calibration
        decision = self.decision(multi_label, top_k, min_score, unknown, given)
        compiled = self.compile(labels, template=template, background=background, concept=concept)
        if tiles is not None:
            refuse_for_tiles(calibration, labels, compiled, multi_label=multi_label)
        elif calibration == AUTO:
            neighbour = calibration_for(AUTO, labels, compiled, multi_label=multi_label)
            decision = replace(decision, calibration=neighbour)
        return compiled, decision

    def decision(
        self,
        multi_label: bool = False,
        top_k: int | None = None,
        min_score: float | None = None,
        unknown: str | None = None,
        calibration: Calibration | str | Path | None = None,
    ) -> Decision:
        """The options of `classify_many` as one value.

        Parameters
        ----------
        multi_label, top_k, min_score, unknown, calibration
            As in `classify_many`.

        Returns
        -------
        Decision

        Raises
        ------
        LabelError
            If an option is invalid, or the calibration cannot be read.

        Examples
        --------
        >>> import unseen
        >>> unseen.load().decision(top_k=3).top_k
        3
        """
        if unknown not in (None, "auto"):
            raise LabelError(
                f"unknown must be None or 'auto', not {unknown!r}; give labels that mean none of "
                "these as background."
            )
        read = loaded(calibration)
        reference_set = self.reference_set() if unknown else None
        return Decision(multi_label, top_k, min_score, read, reference_set)

    def reference_set(self) -> ReferenceSet:
        """What evidence (an OOD score) is measured against; encoded once.

        Returns
        -------
        ReferenceSet

        Raises
        ------
        LabelError
            If the model has no text network.
        """
        if self.model.labels:
            raise LabelError(
                f"unknown auto needs the vectors of words, and {self.model.name} knows only its "
                "own labels; use min_score instead."
            )
        if self._reference_set is None:
            self._reference_set = ReferenceSet.of(self.encoder)
        return self._reference_set

    def predictions(
        self,
        stream: Iterator[Encoded],
        compiled: CompiledLabels,
        decision: Decision,
        *,
        batch_size: int | None = None,
    ) -> Iterator[Prediction]:
        """Predictions of pictures that are encoded already, in order.

        Parameters
        ----------
        stream : iterator of Encoded
            Embeddings, or errors in their place.
        compiled : CompiledLabels
            Labels, compiled for the model that made the embeddings.
        decision : Decision
            How scores become an answer.
        batch_size : int, optional
            Pictures that are decided at once; by default as many as suit the model.

        Returns
        -------
        iterator of Prediction
            One for each of the stream.
        """
        if batch_size is None:
            batch_size = self.encoder.batch_size
        warn_if_alone(compiled, decision)
        warn_undecided(compiled, decision)
        while batch := list(islice(stream, batch_size)):
            yield from predict_encoded(batch, compiled, decision)

    def transduce(
        self, stream: Iterable[Encoded], compiled: CompiledLabels, decision: Decision
    ) -> Iterator[Prediction]:
        """As `predictions`, each picture with the help of all others.

        ``unseen help transductive`` says when that is better. Every picture is encoded before the
        first answer; memory grows with them.

        Parameters
        ----------
        stream : iterable of Encoded
            The embeddings of a collection, or errors in their place.
        compiled : CompiledLabels
            Labels, compiled for the model that made the embeddings.
        decision : Decision
            How scores become an answer.

        Returns
        -------
        iterator of Prediction
            One for each of the stream, in order.

        Raises
        ------
        LabelError
            If the decision is multi-label or has a calibration, or the labels were adapted with
            example pictures.
        """
        if decision.multi_label:
            raise LabelError(
                "transductive classification gives one label a picture; leave multi-label out."
            )
        if decision.calibration is not None:
            raise LabelError(
                "a calibration cannot be combined with transductive classification; leave one out."
            )
        if compiled.adapted is not None and compiled.adapted.cache is not None:
            raise LabelError(
                "transductive classification cannot use an adapter with a cache of examples."
            )
        warn_undecided(compiled, decision)
        encoded = list(stream)
        embeddings = [e.embedding for e in encoded if e.embedding is not None]
        rows = np.array(embeddings, dtype=np.float32)
        from unseen.prediction.transductive import transduce  # noqa: PLC0415 - as few are

        probabilities = transduce(rows, compiled.matrix, compiled.score) if embeddings else None
        yield from predict_encoded(encoded, compiled, decision, probabilities)


def _stamps(label_set: LabelSet) -> tuple[tuple[int, int], ...]:
    """What changes when an example of a label does."""
    paths = (Path(path) for label in label_set.labels for path in label.examples)
    stats = [path.stat() for path in paths if path.exists()]
    return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)


def warn_if_alone(compiled: CompiledLabels, decision: Decision) -> None:
    """Say that a single label is always the answer, unless the decision can refuse it."""
    competes = decision.multi_label or decision.reference_set is not None
    names = [label.name for label in compiled.labels]
    if not competes and alone(names, compiled.score):
        warnings.warn(
            f"{names[0]!r} is the only label, and has 100 % whatever a picture shows; give what "
            "else there may be, a background label (--unknown), or ask for a yes or no "
            "(multi_label, --multi).",
            LabelWarning,
            stacklevel=3,
        )
