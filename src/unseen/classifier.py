"""Classifier: pictures and labels in, predictions out; the files above as one sentence."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.encoder import Encoded, Encoder
from unseen.errors import LabelError, ModelError
from unseen.images.limits import DEFAULT_LIMITS, Limits
from unseen.labels.compile import compile_labels
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import Label, LabelSet
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.models.model import Model
from unseen.prediction.adapter import Adapter
from unseen.prediction.calibration import Calibration
from unseen.prediction.decision import Decision
from unseen.prediction.open_set import ReferenceSet
from unseen.prediction.predict import predict_encoded
from unseen.prediction.prediction import Prediction
from unseen.prediction.transductive import transduce
from unseen.sources.item import Source, name_of
from unseen.system.safetensors_file import SUFFIX

if TYPE_CHECKING:
    from unseen.types import Floats, ImageLike, LabelsLike, Progress, Sources, TemplateLike

KEPT_LABEL_SETS = 16  # compiled label sets that a classifier remembers


def load(
    model: str | Path | LoadOptions = "builtin",
    *,
    revision: str | None = None,
    limits: Limits = DEFAULT_LIMITS,
    exact: bool = False,
    threads: int | None = None,
    precision: str = "fp32",
    device: str = "auto",
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
        ``fp32``, ``fp16``, ``int8`` or ``auto``; docs/speed.md says what they do.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
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
        device=device,
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
    adapter = options.adapter
    if adapter is not None and not isinstance(adapter, Adapter):
        adapter = Adapter.load(adapter)
    return Classifier(Encoder.load(options), adapter)


class Classifier:
    """Says which words fit a picture. Make one with `load` and keep it."""

    def __init__(self, encoder: Encoder, adapter: Adapter | None = None) -> None:
        """LabelError for an adapter that was made for another model."""
        if adapter is not None:
            adapter.check(encoder.model)
        self.encoder = encoder
        self.adapter = adapter
        self._compiled: OrderedDict[LabelSet, CompiledLabels] = OrderedDict()
        self._reference_set: ReferenceSet | None = None

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
        """Those that the adapter or the model brings. LabelError where neither does."""
        if self.adapter is not None:
            return LabelSet.of(self.adapter.labels)
        if not self.model.labels:
            raise LabelError("no labels were given, and neither model nor adapter brings some.")
        own = set(self.model.background)
        return LabelSet(tuple(Label(name, background=name in own) for name in self.model.labels))

    def encode_images(self, sources: Sources, *, batch_size: int | None = None) -> Floats:
        """Any source or sources → float32 (n, d), rows of length 1."""
        return self.encoder.encode_images(sources, batch_size=batch_size)

    def encode_texts(self, texts: list[str]) -> Floats:
        """Texts, as they are → float32 (n, d), rows of length 1."""
        return self.encoder.encode_texts(texts)

    def compile(
        self,
        labels: LabelsLike | CompiledLabels | None = None,
        *,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> CompiledLabels:
        """A label set encoded for this model, for reuse and for `save`; remembered.

        `labels`: what `LabelSet.of` takes, a compiled set, or the path of a saved one; None: those
        of the adapter, or of the model, where it has its own. LabelError when a compiled set
        belongs to another model. `progress` is called with how many prompts are encoded, and of how
        many, for those that are new.
        """
        if labels is None:
            labels = self.labels
        if isinstance(labels, (str, Path)) and Path(labels).suffix == SUFFIX:
            labels = CompiledLabels.load(labels)
        if isinstance(labels, CompiledLabels):
            if template is not None or tuple(background):
                raise LabelError(
                    f"the label set {labels.name!r} is compiled: its templates and background "
                    "labels are fixed; give them to `unseen labels compile`."
                )
            return self.adapted(labels.for_model(self.model))
        label_set = LabelSet.of(labels, template=template, background=background)
        compiled = self._compiled.pop(label_set, None) or self.adapted(
            compile_labels(self.encoder, label_set, progress=progress)
        )
        self._compiled[label_set] = compiled
        if len(self._compiled) > KEPT_LABEL_SETS:
            self._compiled.popitem(last=False)
        return compiled

    def adapted(self, compiled: CompiledLabels) -> CompiledLabels:
        """The set as the adapter has it, if there is one; twice is the same as once."""
        return compiled if self.adapter is None else self.adapter.apply(compiled)

    def classify(
        self,
        source: ImageLike,
        labels: LabelsLike | CompiledLabels | None = None,
        *,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        multi_label: bool = False,
        top_k: int | None = None,
        min_score: float | None = None,
        unknown: str | None = None,
        calibration: Calibration | str | Path | None = None,
    ) -> Prediction:
        """One picture; the options are those of `classify_many`.

        Raises the ImageError or SourceError of a picture that cannot be read.
        """
        decision = self.decision(multi_label, top_k, min_score, unknown, calibration)
        compiled = self.compile(labels, template=template, background=background)
        one = Source(name_of(source, 0), source)  # a folder is then refused, not walked
        encoded = list(self.encoder.stream_images([one], batch_size=1))
        if encoded[0].error is not None:
            raise encoded[0].error
        return predict_encoded(encoded, compiled, decision)[0]

    def classify_many(
        self,
        sources: Sources,
        labels: LabelsLike | CompiledLabels | None = None,
        *,
        batch_size: int | None = None,
        template: TemplateLike = None,
        background: Iterable[str] = (),
        multi_label: bool = False,
        top_k: int | None = None,
        min_score: float | None = None,
        unknown: str | None = None,
        calibration: Calibration | str | Path | None = None,
    ) -> Iterator[Prediction]:
        """A prediction for each picture, in order, while they come; memory is bounded.

        `sources`: a folder, a glob, or any iterable (a generator too). A picture that cannot be
        read is a prediction with an `error`.
        `labels`, `template`, `background`: as `LabelSet.of` takes them, or a compiled set; None:
        the labels of the adapter, or of the model.
        `multi_label`: each label is a yes or no of its own, yes from its threshold on (`min_score`,
        or 0.5, where it has none). `top_k`: at most so many labels. `min_score`: only labels with
        at least this probability; when none has, the prediction is *unknown*. `unknown`: "auto" to
        measure the evidence that any label is there, and say *unknown* where it is too little.
        `calibration`: what `unseen.learning.calibrate` gave for just these labels, or its file.
        `batch_size`: pictures that the network takes at once; None: as many as suit the model.
        """
        decision = self.decision(multi_label, top_k, min_score, unknown, calibration)
        compiled = self.compile(labels, template=template, background=background)
        stream = self.encoder.stream_images(sources, batch_size=batch_size)
        return self.predictions(stream, compiled, decision, batch_size=batch_size)

    def decision(
        self,
        multi_label: bool = False,
        top_k: int | None = None,
        min_score: float | None = None,
        unknown: str | None = None,
        calibration: Calibration | str | Path | None = None,
    ) -> Decision:
        """The options of `classify_many` as one thing. LabelError for those that are none."""
        if unknown not in (None, "auto"):
            raise LabelError(
                f"unknown is {unknown!r}; it is 'auto' or nothing. Labels that mean none of these "
                "are given as background."
            )
        if isinstance(calibration, (str, Path)):
            calibration = Calibration.load(calibration)
        reference_set = self.reference_set() if unknown else None
        return Decision(multi_label, top_k, min_score, calibration, reference_set)

    def reference_set(self) -> ReferenceSet:
        """What evidence is measured against; encoded once. LabelError where words say nothing."""
        if self.model.labels:
            raise LabelError(
                f"evidence is measured by what words say, and {self.model.name} knows its labels "
                "alone: leave unknown auto out; min_score says unknown below a probability."
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
        """Pictures already encoded → predictions, in order."""
        if batch_size is None:
            batch_size = self.encoder.batch_size
        while batch := list(islice(stream, batch_size)):
            yield from predict_encoded(batch, compiled, decision)

    def together(
        self, stream: Iterable[Encoded], compiled: CompiledLabels, decision: Decision
    ) -> Iterator[Prediction]:
        """As `predictions`, each with the help of all others: docs/transductive.md says when that
        is better. Every picture is encoded before the first answer; memory grows with them.

        Raises LabelError for multi-label, which knows no competition, and for a calibration.
        """
        if decision.multi_label:
            raise LabelError("transductive is for one label a picture; leave multi-label out.")
        if decision.calibration is not None:
            raise LabelError("a calibration is of scores that are not transductive: leave one out.")
        if compiled.adapted is not None and compiled.adapted.cache is not None:
            raise LabelError("transductive cannot use an adapter that is a cache of examples.")
        encoded = list(stream)
        good = [e.embedding for e in encoded if e.embedding is not None]
        rows = np.array(good, dtype=np.float32)
        probabilities = transduce(rows, compiled.matrix, compiled.score) if good else None
        yield from predict_encoded(encoded, compiled, decision, probabilities)
