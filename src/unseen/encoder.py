"""Pictures and prompts → embeddings: float32 rows of length 1, each of them encoded once."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from PIL import __version__ as pillow_version

from unseen.errors import (
    ImageError,
    LabelError,
    ModelError,
    UnseenError,
    UnseenWarning,
    without_frames,
)
from unseen.images.limits import DEFAULT_LIMITS, Limits
from unseen.images.open import full_size, open_image, read_content
from unseen.load_options import DEFAULT_LOAD_OPTIONS, PRECISIONS, LoadOptions
from unseen.models import families, hub
from unseen.models.checkpoint import TEXT_ORIGINS
from unseen.models.compiled import MOST_CALLERS, CompiledNetwork, few
from unseen.models.inputs import PictureArrays
from unseen.models.model import LARGE_BATCH, Model, Preprocessing
from unseen.models.reference_outputs import tower
from unseen.models.text_batches import text_batches
from unseen.runtimes.devices import ExecutionTarget, execution_target
from unseen.sources.expand import expand
from unseen.sources.item import Source, name_of
from unseen.system.cpu import usable
from unseen.system.digest import sha256
from unseen.system.embedding_cache import EmbeddingCache
from unseen.system.embedding_cache import limit as cache_limit
from unseen.system.prompt_cache import VectorCache
from unseen.types import Progress as Progress

if TYPE_CHECKING:
    from unseen.images.tiling import PixelBox
    from unseen.networks.operations import Array
    from unseen.types import Floats, ImageLike, Metadata, Sources

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")
Batch = list[tuple[S, PictureArrays | R]]

TEXT_VERSION = 1  # of tokenizers and text nets here: raise it where a text gets another vector
# Pictures that each of several threads gives its network at once: of 2, 4 and 8, which gave 41, 44
# and 42 a second of a B/32 in int8 on two cores (one batch of 16 on two threads: 35), the best.
# docs/speed.md has another run. Nets of convolutions take fewer in any case: shared, the built-in
# one was 1.05 times as fast, in 75 MB more.
SHARE = 4
TEXT_CHUNK = 4096  # prompts between two writes to the cache: what a killed process can lose
# New prompts for which the text net in int8 is called by several threads at once, each with a
# batch of its own: 1.2 times as fast on two cores. A few are not worth to load it for one thread.
MANY_TEXTS = 2048


@dataclass(frozen=True, eq=False)
class Tiles:
    """The tiles of one picture after the image net.

    Parameters
    ----------
    boxes : tuple of (int, int, int, int)
        Left, top, right and bottom of n tiles, in pixels of the upright original.
    embeddings : ndarray of shape (n, d), float32
        Rows of length 1.
    """

    boxes: tuple[PixelBox, ...]
    embeddings: Floats


@dataclass(frozen=True)
class Encoded:
    """One picture after the image net: its embedding, or the error that stands in its place.

    Parameters
    ----------
    name : str
        The name of its `Source`: a path, a URL, or its place in the call.
    embedding : ndarray of shape (d,), float32, or None
        Of length 1; None after an error.
    error : UnseenError, optional
        Why the picture could not be read.
    meta : mapping
        The metadata of its `Source`.
    tiles : Tiles, optional
        Its tiles, where these were to be encoded, too; then there may be none of them.

    Examples
    --------
    >>> import unseen
    >>> (encoded,) = unseen.load().encoder.stream_images("examples/cat.jpg")
    >>> encoded.name, encoded.embedding.shape, encoded.error
    ('examples/cat.jpg', (1384,), None)
    """

    name: str
    embedding: Floats | None
    error: UnseenError | None = None
    meta: Metadata = field(default_factory=dict, hash=False)
    tiles: Tiles | None = None


@dataclass(frozen=True)
class Picture:
    """A picture that was read: its pixels, or its embedding where that was cached.

    Parameters
    ----------
    pixels : ndarray or tuple of ndarray, optional
        As `Encoder.pixels` gives them. None: there is an embedding.
    embedding : ndarray of shape (d,), float32, optional
        Of length 1.
    content : bytes, optional
        The SHA-256 under which the embedding of the pixels is to be cached.
    """

    pixels: PictureArrays | None
    embedding: Floats | None = None
    content: bytes | None = None


class Encoder:
    """The two nets of a model behind caches. Loads and compiles nothing until it must.

    Parameters
    ----------
    model : Model
        What turns pictures and prompts into vectors.
    options : LoadOptions, optional
        What `model` was loaded with. None: the defaults, for this model.

    Raises
    ------
    ModelError
        For a device that does not exist, or is not on this machine.

    Examples
    --------
    >>> import unseen
    >>> encoder = unseen.Encoder.load(unseen.LoadOptions("builtin", device="cpu"))
    >>> encoder
    Encoder('builtin', fp32, cpu)
    >>> pictures = encoder.encode_images(["examples/cat.jpg", "examples/dog.jpg"])
    >>> texts = encoder.encode_texts(["a photo of a cat", "a photo of a dog"])
    >>> (pictures @ texts.T).argmax(1).tolist()
    [0, 1]
    """

    def __init__(self, model: Model, options: LoadOptions | None = None) -> None:
        self.model = model
        self.options = options or LoadOptions(model.name, model.revision)
        find_target = cache(partial(execution_target, self.options.device))
        if self.options.device != "auto":
            find_target()  # a device that is not here is an error now; auto can wait
        image_precision, text_precision = PRECISIONS[self.options.precision]
        self._image, self._text = (
            CompiledNetwork(
                tower(model, name),
                find_target=find_target,
                options=replace(self.options, precision=precision),
            )
            for name, precision in (("image", image_precision), ("text", text_precision))
        )
        # The key of prompts in the cache on disk.
        suffix = f"{'' if text_precision == 'fp32' else f'-{text_precision}'}-t{TEXT_VERSION}"
        self._text_key = model.fingerprint + suffix
        # A tuned model has the text net of its original, whose vectors are read and never written:
        # a folder that says so of itself wrongly harms nobody else.
        self._text_origins = [one + suffix for one in model.card.get(TEXT_ORIGINS, [])]
        self._vectors = VectorCache()
        self._embeddings = EmbeddingCache()

    @classmethod
    def load(cls, options: LoadOptions = DEFAULT_LOAD_OPTIONS) -> Encoder:
        """The encoder of the model that the options name.

        Parameters
        ----------
        options : LoadOptions
            The model and how it is loaded. Its adapter is not used: that is for a `Classifier`.

        Returns
        -------
        Encoder
            Nothing is compiled yet.

        Raises
        ------
        ModelError
            If the model is not there, cannot be read, or its licence does not allow the use.
        """
        checkpoint = hub.locate(
            options.model, revision=options.revision, commercial=options.commercial
        )
        model = families.read(checkpoint)
        teacher = model.card.get("teacher", {})
        if options.commercial and model.labels and teacher.get("commercial") is not True:
            raise ModelError(
                f"{model.name}: the licence of its teacher is not known to allow commercial use; "
                "read its card (unseen models info), and leave commercial out when that allows "
                "your use."
            )
        return cls(model, options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process loads the model anew: networks and locks stay in the process."""
        options = replace(self.options, adapter=None)
        return _reloaded, (options, self.model.fingerprint)

    def __repr__(self) -> str:
        return f"Encoder({self.described})"

    @property
    def described(self) -> str:
        """The model and its options; "auto" is not resolved, as that takes time."""
        options = self.options
        extra = ", exact" if options.exact else ""
        return f"{self.model.name!r}, {options.precision}, {options.device}{extra}"

    @property
    def limits(self) -> Limits:
        """What a picture may cost."""
        return self.options.limits

    @property
    def exact(self) -> bool:
        """Whether JPEGs are decoded in full."""
        return self.options.exact

    @property
    def target(self) -> ExecutionTarget:
        """The device and runtime of the image net: what "auto" resolved to."""
        return self._image.target

    @property
    def precision(self) -> str:
        """Of the image net: what "auto" resolved to, for which it is compiled and checked."""
        return self._image.precision

    @property
    def batch_size(self) -> int:
        """Pictures that the image net takes at once by default: what suits the model here."""
        return self.model.batch_size if self.target.is_cpu else LARGE_BATCH  # few leave a GPU idle

    @property
    def callers(self) -> int:
        """How many threads should give the image net batches of `SHARE` at once, where pictures
        come one by one; the network is loaded to know it. More than one in int8, on a CPU of few
        cores, for nets that like large batches: their threads wait for one another at many short
        steps. In fp32 two batches at once are slower than one."""
        cores = usable()
        likes_large = self.options.threads is None and self.batch_size > SHARE
        is_int8 = self.target.is_cpu and self.precision == "int8"
        return cores if likes_large and is_int8 and few(cores) else 1

    # pictures

    def encode_images(
        self, sources: Sources, *, batch_size: int | None = None, use_cache: bool = True
    ) -> Floats:
        """The embeddings of pictures.

        Parameters
        ----------
        sources : Sources
            Any source or sources, as `unseen.sources.expand.expand` takes them.
        batch_size : int, optional
            Pictures that the network takes at once. None: as many as suit the model.
        use_cache : bool
            As of `stream_images`.

        Returns
        -------
        ndarray of shape (n, d), float32
            Rows of length 1.

        Raises
        ------
        ImageError, SourceError
            For the first picture that cannot be read; `stream_images` goes on past it.

        Examples
        --------
        >>> import unseen
        >>> unseen.load().encoder.encode_images("examples/cat.jpg").shape
        (1, 1384)
        """
        rows = []
        for encoded in self.stream_images(sources, batch_size=batch_size, use_cache=use_cache):
            if encoded.error is not None:
                raise encoded.error
            rows.append(encoded.embedding)
        if not rows:
            return np.zeros((0, self.model.dimension), dtype=np.float32)
        return np.stack(rows)  # type: ignore[arg-type]

    def stream_images(
        self,
        sources: Sources,
        *,
        batch_size: int | None = None,
        limits: Limits | None = None,
        use_cache: bool = True,
    ) -> Iterator[Encoded]:
        """The embedding of each picture as it is ready, in order; memory is bounded.

        Threads decode the next pictures while the network has the present ones.

        Parameters
        ----------
        sources : Sources
            Any source or sources, as `unseen.sources.expand.expand` takes them.
        batch_size : int, optional
            Pictures that the network takes at once. None: as many as suit the model.
        limits : Limits, optional
            What a picture may cost. None: the encoder's own limits.
        use_cache : bool
            Take the embedding of a content that was encoded before from the cache on disk, and keep
            new ones there. ``$UNSEEN_CACHE_BYTES`` is its size; 0 switches it off.

        Yields
        ------
        Encoded
            With an error for a picture that cannot be read.
        """

        def decode(source: Source) -> tuple[Source, Picture | PictureArrays | UnseenError]:
            read = self.read if use_cache else self.pixels
            return source, read(source.content, limits=limits)

        use_cache = use_cache and self.can_cache()

        for source, result in self.stream(
            expand(sources), decode, batch_size=batch_size, limits=limits
        ):
            if isinstance(result, UnseenError):
                yield Encoded(source.name, None, result, source.meta)
            else:
                yield Encoded(source.name, result, meta=source.meta)

    def begin_compiling(self) -> None:
        """Compile the image network from now on, in a thread, where that has not been done: while
        labels are encoded, whose network may have to be compiled as well."""
        self._image.begin_compiling()

    def encode_one(self, source: Source) -> Encoded:
        """One picture, when no other is in sight: as `stream_images`, sooner in a new process.

        Parameters
        ----------
        source : Source
            The picture.

        Returns
        -------
        Encoded
            With an error for a picture that cannot be read.
        """
        use_cache = self.can_cache()
        picture = self.read(source.content, use_cache=use_cache, once=True)
        if isinstance(picture, UnseenError):
            return Encoded(source.name, None, picture, source.meta)
        embedding = picture.embedding
        if picture.pixels is not None:
            (embedding,) = self._image.once(*self.model.image_inputs([picture.pixels]))
            if picture.content is not None:
                new = {picture.content: np.asarray(embedding)}
                self._embeddings.put(self._picture_key(self.limits), new)
        if use_cache:
            self._embeddings.note_use()
        return Encoded(source.name, embedding, meta=source.meta)

    def read(
        self,
        source: ImageLike,
        *,
        limits: Limits | None = None,
        use_cache: bool = True,
        once: bool = False,
    ) -> Picture | UnseenError:
        """One picture: its embedding where its content was encoded before, else its pixels.

        Parameters
        ----------
        source : ImageLike
            What `open_image` takes.
        limits : Limits, optional
            What the picture may cost. None: the encoder's own limits.
        use_cache : bool
            As of `stream_images`.
        once : bool
            Whether no other picture is in sight.

        Returns
        -------
        Picture or UnseenError
            Or why it could not be read.
        """
        limits = limits or self.limits
        digest = content = None
        try:
            content = read_content(source, limits=limits) if use_cache and cache_limit() else None
        except UnseenError as error:
            return without_frames(error)
        if content is not None:
            digest = sha256([content])
            picture = self.cached(digest, limits=limits)
            if picture is not None:
                return picture
        self._image.begin(once=once)
        pixels = read_pixels(
            source, self.model.preprocess, limits=limits, exact=self.exact, content=content
        )
        return pixels if isinstance(pixels, UnseenError) else Picture(pixels, content=digest)

    def cached(self, digest: bytes, *, limits: Limits | None = None) -> Picture | None:
        """The embedding of a content that was encoded before.

        Parameters
        ----------
        digest : bytes
            The SHA-256 of the file.
        limits : Limits, optional
            What the picture may cost. None: the encoder's own limits.

        Returns
        -------
        Picture or None
        """
        if not cache_limit():
            return None
        embedding = self._embeddings.get(self._picture_key(limits or self.limits), digest)
        return None if embedding is None else Picture(None, embedding, digest)

    def can_cache(self) -> bool:
        """Whether embeddings are cached on disk.

        "auto" is resolved here, once, and not in each thread.

        Returns
        -------
        bool
            False where the cache is off, and where it is not known what encodes.
        """
        try:
            return cache_limit() > 0 and bool(self._image.identity)
        except ModelError:
            return False  # the first call says what is wrong, or takes another device

    def _picture_key(self, limits: Limits) -> str:
        """What can change an embedding, or whether there is one: another is not taken for it."""
        preprocess = f"{self.model.preprocess}{' exact' if self.exact else ''}"
        allowed = f"{limits.max_pixels} {limits.max_side}"
        return f"{self._image.identity} {preprocess} pillow {pillow_version} {allowed}"

    def pixels(
        self, source: ImageLike, *, limits: Limits | None = None
    ) -> PictureArrays | UnseenError:
        """One picture as the image net takes it.

        Parameters
        ----------
        source : ImageLike
            What `open_image` takes.
        limits : Limits, optional
            What the picture may cost. None: the encoder's own limits.

        Returns
        -------
        ndarray, tuple of ndarray, or UnseenError
            uint8 pixels, mostly of shape (height, width, 3), or why there are none.
        """
        self._image.begin()
        return read_pixels(
            source, self.model.preprocess, limits=limits or self.limits, exact=self.exact
        )

    def stream(
        self,
        items: Iterable[T],
        decode: Callable[[T], tuple[S, Picture | PictureArrays | R]],
        *,
        batch_size: int | None = None,
        limits: Limits | None = None,
    ) -> Iterator[tuple[S, Floats | R]]:
        """Encode what `decode` makes of each item, in order; memory is bounded.

        Parameters
        ----------
        items : iterable
            What `decode` takes.
        decode : callable
            Item → a pair: something to give back with the result, and pixels as of `pixels`, a
            picture as of `read`, or anything else. It is called in threads.
        batch_size : int, optional
            Pictures that the network takes at once. None: as many as suit the model.
        limits : Limits, optional
            What `decode` allowed a picture to cost. None: the encoder's own limits.

        Yields
        ------
        tuple
            The first of each pair, and the embedding (d,) of its pixels or, where there are none,
            the second of the pair as it is.
        """
        size = self.batch_size if batch_size is None else batch_size
        items = iter(items)
        may_share = batch_size is None and size > SHARE
        first = list(islice(items, MOST_CALLERS * SHARE)) if may_share else []
        items = chain(first, items)
        new: dict[bytes, Floats] = {}

        def opened(item: T) -> tuple[tuple[S, bytes | None], PictureArrays | _Stored | R]:
            given_back, result = decode(item)
            if not isinstance(result, Picture):
                return (given_back, None), result
            if result.embedding is not None:
                return (given_back, None), _Stored(result.embedding)
            assert result.pixels is not None
            return (given_back, result.content), result.pixels

        def keep() -> None:
            if new:
                self._embeddings.put(self._picture_key(limits or self.limits), new)
                new.clear()

        try:
            with self._image.called_by(len(first) // SHARE) as callers:
                share = size if callers == 1 else SHARE
                results = stream(items, opened, self.encode_pixels, share, callers)
                for (item, content), result in results:
                    if content is not None and isinstance(result, np.ndarray):
                        new[content] = result
                        if len(new) >= size:
                            keep()
                    embedding = result.embedding if isinstance(result, _Stored) else result
                    yield item, cast("Floats | R", embedding)
        finally:
            keep()
            self._embeddings.note_use()

    def encode_pixels(self, pixels: Sequence[PictureArrays]) -> Floats:
        """The embeddings of pictures that are decoded already, in one batch.

        Parameters
        ----------
        pixels : sequence of ndarray or of tuple of ndarray
            What `pixels` gave for n pictures.

        Returns
        -------
        ndarray of shape (n, d), float32
            Rows of length 1.
        """
        return self._image(*self.model.image_inputs(pixels))

    # prompts

    def encode_texts(self, texts: Sequence[str], *, progress: Progress | None = None) -> Floats:
        """The embeddings of texts as they are, without a template.

        Known texts come from the cache on disk; the others are encoded in batches of like length,
        each cut to its longest text, and stored there.

        Parameters
        ----------
        texts : sequence of str
            A text over the model's context is cut, with a warning that names it.
        progress : callable, optional
            Called with the new texts done, and how many there are.

        Returns
        -------
        ndarray of shape (n, d), float32
            Rows of length 1, in the order of the texts.

        Raises
        ------
        LabelError
            For a single string, and for anything in the sequence that is not a string.

        Examples
        --------
        >>> import unseen
        >>> unseen.load().encoder.encode_texts(["a photo of a cat"]).shape
        (1, 1384)
        """
        if isinstance(texts, str):
            raise LabelError(f"encode_texts takes a list of texts, not a single one: {texts!r}.")
        if not all(isinstance(text, str) for text in texts):
            wrong = next(text for text in texts if not isinstance(text, str))
            kind = type(wrong).__name__
            raise LabelError(f"every text must be a str; {wrong!r} is of the type {kind}.")
        known = self._known_texts(list(dict.fromkeys(texts)), progress)
        if not texts:
            return np.zeros((0, self.model.dimension), dtype=np.float32)
        return np.stack([known[text] for text in texts])

    def _known_texts(self, texts: list[str], progress: Progress | None) -> dict[str, Floats]:
        key = self._text_key
        known = self._cached_texts(texts)
        if len(known) == len(texts):
            return known
        with self._vectors.lock(key):  # another process may be at the same prompts
            missing = [text for text in texts if text not in known]
            known.update(self._cached_texts(missing))
            # In order, so that those that begin alike come together.
            missing = sorted(text for text in missing if text not in known)
            callers = MOST_CALLERS if self._many_callers(len(missing)) else 1
            done = 0
            new: dict[str, Floats] = {}
            with self._text.called_by(callers) as threads:
                for batch in self._encode_new_texts(missing, threads):
                    new |= batch
                    done += len(batch)
                    if progress is not None:
                        progress(done, len(missing))
                    if len(new) >= TEXT_CHUNK or done == len(missing):
                        self._vectors.put_many(key, new)
                        known |= new
                        new.clear()
        return known

    def _cached_texts(self, texts: list[str]) -> dict[str, Floats]:
        known: dict[str, Floats] = {}
        for key in (self._text_key, *self._text_origins):
            missing = [text for text in texts if text not in known]
            vectors = self._vectors.get_many(key, missing)
            known |= {t: v for t, v in vectors.items() if v.shape == (self.model.dimension,)}
        return known

    def _encode_new_texts(self, texts: list[str], threads: int = 1) -> Iterator[dict[str, Floats]]:
        chunks = (texts[start : start + TEXT_CHUNK] for start in range(0, len(texts), TEXT_CHUNK))
        batches = (batch for chunk in chunks for batch in self._new_batches(chunk))
        for some, rows in self._text_rows(batches, threads):
            yield dict(zip(some, rows, strict=True))

    def _new_batches(self, texts: list[str]) -> Iterator[tuple[list[str], tuple[Array, ...]]]:
        ids, cut = self.model.tokenizer.encode(texts, self.model.context_length)
        for text in (text for text, was_cut in zip(texts, cut, strict=True) if was_cut):
            warnings.warn(self.cut_short(text), UnseenWarning, stacklevel=2)
        for batch, arrays in text_batches(self.model, ids):
            yield [texts[i] for i in batch], arrays

    def _text_rows(
        self, batches: Iterable[tuple[S, tuple[Array, ...]]], threads: int = 1
    ) -> Iterator[tuple[S, Floats]]:
        """The embeddings of each batch in order; so many threads call the net at once."""

        def encoded(batch: tuple[S, tuple[Array, ...]]) -> tuple[S, Floats]:
            return batch[0], self._text(*batch[1])

        if threads == 1:
            yield from map(encoded, batches)
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="unseen-encode") as pool:
            # So far ahead that they compute while tokens are made and vectors are written.
            yield from map_ahead(pool, encoded, batches, 2 * threads)

    def _many_callers(self, texts: int) -> bool:
        """Whether the text net is called by several threads at once, for so many new texts."""
        is_int8 = self._text.target.is_cpu and self._text.precision == "int8"
        return is_int8 and texts >= MANY_TEXTS

    def cut_short(self, text: str) -> str:
        """The warning about a text that is longer than the model reads.

        Parameters
        ----------
        text : str
            The text, of which the start is quoted.

        Returns
        -------
        str
            One sentence.
        """
        return (
            f"this prompt is longer than the {self.model.context_length} tokens that "
            f"{self.model.name} reads, and was cut: {text[:80]!r}"
        )

    def encode_once(self, texts: Sequence[str]) -> tuple[Floats, list[bool]]:
        """The embeddings of texts without the cache on disk, and without warnings.

        For texts of strangers, who could fill the disk.

        Parameters
        ----------
        texts : sequence of str
            As of `encode_texts`.

        Returns
        -------
        embeddings : ndarray of shape (n, d), float32
            Rows of length 1.
        cut : list of bool
            Which texts were longer than the model reads.
        """
        ids, cut = self.model.tokenizer.encode(texts, self.model.context_length)
        rows = np.empty((len(texts), self.model.dimension), dtype=np.float32)
        for batch, encoded in self._text_rows(text_batches(self.model, ids)):
            rows[batch] = encoded
        return rows, cut


@dataclass(frozen=True)
class _Stored:
    """An embedding where pixels could stand: both are arrays."""

    embedding: Floats


def _reloaded(options: LoadOptions, fingerprint: str) -> Encoder:
    """The encoder that was pickled. ModelError where the checkpoint is another now."""
    encoder = Encoder.load(options)
    if encoder.model.fingerprint != fingerprint:
        raise ModelError(
            f"{options.model} is another model here ({encoder.model.fingerprint[:12]}) than where "
            f"it was pickled ({fingerprint[:12]}); give both the same files, or name a revision."
        )
    return encoder


def read_pixels(
    source: ImageLike,
    preprocess: Preprocessing,
    *,
    limits: Limits = DEFAULT_LIMITS,
    exact: bool = False,
    content: bytes | memoryview | None = None,
) -> PictureArrays | UnseenError:
    """One picture as an image network takes it, or why not.

    `exact`: as in `LoadOptions`. `content`: as of `open_image`.
    """
    return read_sized(source, preprocess, limits=limits, exact=exact, content=content)[0]


def read_sized(
    source: ImageLike,
    preprocess: Preprocessing,
    *,
    limits: Limits = DEFAULT_LIMITS,
    exact: bool = False,
    content: bytes | memoryview | None = None,
) -> tuple[PictureArrays | UnseenError, tuple[int, int] | None]:
    """As `read_pixels`, and the upright width and height; None where it could not be opened."""
    at_least = None if exact else preprocess.target
    try:
        image = open_image(source, limits=limits, at_least=at_least, content=content)
        return preprocess(image), full_size(image)
    except UnseenError as error:
        return without_frames(error), None  # a batch may have hundreds
    except MemoryError:  # Pillow's, too, where a side is too long for its filters
        name = name_of(source, 0)
    return ImageError(f"{name}: not enough memory to resize it."), None


def stream(
    items: Iterable[T],
    decode: Callable[[T], tuple[S, PictureArrays | R]],
    encode: Callable[[Sequence[PictureArrays]], Floats],
    batch_size: int,
    callers: int = 1,
) -> Iterator[tuple[S, Floats | R]]:
    """Encode what `decode` makes of each item; as `Encoder.stream`, with another `encode`.

    `callers`: threads that call `encode` at once, each with a batch of its own.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it must be at least 1.")
    # A network that takes few at once needs no fewer threads to feed it.
    workers = min(usable(), max(batch_size, LARGE_BATCH))
    decoders = ThreadPoolExecutor(workers, thread_name_prefix="unseen-decode")
    # Its own threads, so that Ctrl-C is heard while the network runs, which may take seconds.
    network = ThreadPoolExecutor(callers, thread_name_prefix="unseen-encode")

    def encoded(batch: Batch[S, R]) -> tuple[Batch[S, R], Iterator[Floats]]:
        pixels = [result for _, result in batch if isinstance(result, (np.ndarray, tuple))]
        return batch, iter(encode(pixels) if pixels else ())

    try:
        decoded = map_ahead(decoders, decode, items, callers * batch_size + workers)
        batches = iter(lambda: list(islice(decoded, batch_size)), [])
        for batch, rows in map_ahead(network, encoded, batches, callers):
            for item, result in batch:
                yield item, next(rows) if isinstance(result, (np.ndarray, tuple)) else result
    finally:
        # Without waiting: where this is stopped, a picture may never come.
        for pool in (decoders, network):
            pool.shutdown(wait=False, cancel_futures=True)


def map_ahead(
    pool: ThreadPoolExecutor, function: Callable[[T], S], items: Iterable[T], window: int
) -> Iterator[S]:
    """`map` that runs at most `window` items ahead of its reader; the rest is cancelled."""
    futures: deque[Future[S]] = deque()
    try:
        for item in items:
            futures.append(pool.submit(function, item))
            if len(futures) >= window:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
