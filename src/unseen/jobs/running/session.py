"""The model and labels of a job, loaded once in a process, and shards → rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.classifier import Classifier, load
from unseen.encoder import Encoded, read_sized
from unseen.errors import ModelError, SourceError, StoreError, UnseenError, without_frames
from unseen.images.limits import Limits
from unseen.images.open import read_content, upright_size
from unseen.jobs.job import LABELS, Job
from unseen.jobs.rows import Row
from unseen.jobs.running.pictures import Picture, pictures_of
from unseen.jobs.shard import Entry, Shard
from unseen.labels.compiled import CompiledLabels
from unseen.load_options import LoadOptions
from unseen.prediction.calibration import Calibration
from unseen.prediction.decision import Decision
from unseen.prediction.predict import predict_encoded

if TYPE_CHECKING:
    from unseen.models.inputs import PictureArrays

NO_OVERRIDES: Mapping[str, Any] = {}


class ChangedError(SourceError):
    """A picture has another size than when it was planned."""


@dataclass
class _Opened:
    """A picture that was opened in a thread: what its row says of the file."""

    picture: Picture
    sha256: str | None = None
    size: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True)
class Session:
    """What answers, in one process.

    Parameters
    ----------
    classifier : Classifier
        Of the model of the job.
    compiled : CompiledLabels, optional
        None: only embeddings are asked for.
    decision : Decision, optional
        How scores become an answer.
    embed : bool
        Whether rows have embeddings.
    batch_size : int, optional
        Pictures that the network takes at once. None: as many as suit the model.
    """

    classifier: Classifier
    compiled: CompiledLabels | None
    decision: Decision | None
    embed: bool
    batch_size: int | None = field(default=None)

    @classmethod
    def load(
        cls, job: Job, overrides: Mapping[str, Any] = NO_OVERRIDES, batch_size: int | None = None
    ) -> Session:
        """The session of a job.

        Parameters
        ----------
        job : Job
            What was planned.
        overrides : Mapping[str, Any]
            Fields of `LoadOptions` that change no answer: where the same model lies here, the
            device, the threads.
        batch_size : int, optional
            Pictures that the network takes at once.

        Returns
        -------
        Session

        Raises
        ------
        ModelError
            If the model cannot be loaded, or is not that of the plan.
        StoreError
            If the labels of the job are missing or damaged.
        """
        options = job.answer["options"]
        loading = LoadOptions(
            model=job.facts["model"],
            revision=None if "model" in overrides else job.facts["revision"],
            precision=options["precision"],
            exact=options["exact"],
            limits=Limits(**options["limits"]),
        )
        classifier = load(replace(loading, **overrides))
        if classifier.model.fingerprint != job.answer["fingerprint"]:
            raise ModelError(
                f"{classifier.model.name} is another model here "
                f"({classifier.model.fingerprint[:12]}) than the job was planned with "
                f"({job.answer['fingerprint'][:12]}); give its folder: unseen job run … -m FOLDER"
            )
        compiled = decision = None
        if "multi" in options:
            compiled = classifier.compile(_labels(job))
            calibration = options["calibration"]
            decision = classifier.decision(
                options["multi"],
                options["top"],
                options["min_score"],
                options["unknown"],
                None if calibration is None else Calibration.from_data(calibration, "the job"),
            )
        return cls(classifier, compiled, decision, options["embed"], batch_size)

    def rows(self, job: Job, shard: Shard, entries: Sequence[Entry] | None = None) -> Iterator[Row]:
        """The rows of a shard, in the order of its entries; memory is bounded.

        Parameters
        ----------
        job : Job
            The job of this session.
        shard : Shard
            One of its shards.
        entries : sequence of Entry, optional
            Some of its entries, in order. None: all.

        Yields
        ------
        Row
            With an error for a picture that cannot be read.
        """
        entries = job.entries(shard) if entries is None else entries
        pictures = pictures_of(shard, entries, job.base)
        encoder = self.classifier.encoder
        stream = encoder.stream(pictures, self._opened, batch_size=self.batch_size)
        size = encoder.batch_size if self.batch_size is None else self.batch_size
        while batch := [*islice(stream, size)]:
            yield from self._answered(batch)

    def _opened(self, picture: Picture) -> tuple[_Opened, PictureArrays | UnseenError]:
        """A picture as the image net takes it; called in threads."""
        opened, content = _Opened(picture), picture.content
        encoder = self.classifier.encoder
        limits = encoder.limits
        try:
            encoded = read_content(content, limits=limits)
            if encoded is not None:
                opened.sha256 = hashlib.sha256(encoded).hexdigest()
                _check_size(picture, len(encoded))
        except UnseenError as error:
            return opened, without_frames(error)
        pixels, size = read_sized(
            content,
            encoder.model.preprocess,
            limits=limits,
            exact=encoder.exact,
            content=encoded,
        )
        if size is not None:
            opened.size = size
        elif encoded is not None:
            with suppress(UnseenError):  # it cannot be opened, and its head may be whole
                opened.size = upright_size(encoded, limits)
        return opened, pixels

    def _answered(self, batch: list[tuple[_Opened, Any]]) -> Iterator[Row]:
        """The rows of a batch of pictures and their embeddings, or errors in their place."""
        predictions: list[Any] = [None] * len(batch)
        if self.compiled is not None and self.decision is not None:
            encoded = [
                Encoded(opened.picture.entry.key, None, result)
                if isinstance(result, UnseenError)
                else Encoded(opened.picture.entry.key, result)
                for opened, result in batch
            ]
            predictions = [*predict_encoded(encoded, self.compiled, self.decision)]
        for (opened, result), prediction in zip(batch, predictions, strict=True):
            failed = isinstance(result, UnseenError)
            yield Row(
                key=opened.picture.entry.key,
                sha256=opened.sha256,
                width=opened.size[0],
                height=opened.size[1],
                prediction=None if failed else prediction,
                embedding=result if self.embed and isinstance(result, np.ndarray) else None,
                error=str(result) if failed else None,
                error_class=type(result).__name__ if failed else None,
                meta=opened.picture.meta,
            )


def _check_size(picture: Picture, size: int) -> None:
    planned = picture.entry.size
    if planned is not None and planned != size:
        raise ChangedError(
            f"{picture.entry.key}: it has {size:,} bytes, and had {planned:,} when it was planned; "
            "unseen job retry plans it as it is now."
        )


def _labels(job: Job) -> CompiledLabels:
    try:
        content = job.store.read(LABELS)
    except FileNotFoundError:
        content = b""
    if hashlib.sha256(content).hexdigest() != job.facts["labels_file_sha256"]:
        raise StoreError(f"{job.store.address}: {LABELS} is damaged; plan the job anew.")
    return CompiledLabels.from_bytes(content, LABELS)
