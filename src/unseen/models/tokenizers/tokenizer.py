"""Text → token ids, as the checkpoint's own files say, by the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from unseen.errors import LabelError, ModelError
from unseen.models.config_values import shown
from unseen.models.serialization import PickledFields

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend


class Tokenizer:
    """Texts → ids with the special tokens of the checkpoint. Several threads may use one."""

    def __init__(self, backend: Backend, clean: Callable[[str], str] | None = None) -> None:
        """`clean` is done to each text first."""
        self._clean = clean
        backend.no_padding()
        backend.no_truncation()
        self._backend = backend
        # Special tokens behind every text: a text that is cut keeps them.
        is_special = backend.encode("a").special_tokens_mask
        self._ending = len(is_special) - 1 - max(i for i, s in enumerate(is_special) if not s)

    @classmethod
    def from_folder(cls, folder: Path, clean: Callable[[str], str] | None = None) -> Tokenizer:
        """From the first kind of tokenizer file that the folder has; ModelError when none."""
        # The library takes 8 ms of a start, and words that were encoded before need none.
        from unseen.models.tokenizers import tokenizer_limits  # noqa: PLC0415
        from unseen.models.tokenizers.tokenizer_files import READERS  # noqa: PLC0415

        for names, reader in READERS.items():
            if all((folder / name).is_file() for name in names):
                where = f"{folder}: its tokenizer ({', '.join(names)})"
                try:
                    tokenizer_limits.check_files(folder, names)
                    backend = reader(folder)
                    tokenizer_limits.check(backend, where)
                    return cls(backend, clean)
                except ModelError:
                    raise
                except BaseException as error:  # the library raises bare Exception
                    _reraise_unless_its_own(error)
                    raise ModelError(f"{where} cannot be read: {str(error)[:200]}.") from None
        names_of_all = " or ".join(" + ".join(names) for names in READERS)
        raise ModelError(f"{folder}: no tokenizer in it; looked for {names_of_all}.")

    def encode(
        self, texts: Sequence[str], context_length: int | None = None
    ) -> tuple[list[list[int]], list[bool]]:
        """Ids of each text, unpadded, at most `context_length` of them, and which texts were cut.

        A text is cut as transformers does: at its end, the special tokens kept. (The library's own
        truncation is a setting of the whole tokenizer, which a second thread would change.) Raises
        LabelError for a text that is not Unicode, ModelError where the library fails.
        """
        try:
            cleaned = texts if self._clean is None else [self._clean(text) for text in texts]
            encodings = self._backend.encode_batch(list(cleaned))
        except TypeError:
            raise LabelError(f"{_not_unicode(texts)!r} has half a character in it.") from None
        except BaseException as error:
            _reraise_unless_its_own(error)
            raise ModelError(
                f"the model's tokenizer fails on one of {len(texts)} texts, the first of which is "
                f"{shown(texts[0])}: {str(error)[:200]}."
            ) from None
        ids = [encoding.ids for encoding in encodings]
        if context_length is None:
            return ids, [False] * len(ids)
        cut = [len(tokens) > context_length for tokens in ids]
        keep = max(context_length - self._ending, 0)
        return [
            tokens[:keep] + tokens[len(tokens) - self._ending :] if long else tokens
            for tokens, long in zip(ids, cut, strict=True)
        ], cut

    def token_id(self, token: str) -> int | None:
        """The id of one token of the vocabulary, special ones too; None when it has none such."""
        token_id: int | None = self._backend.token_to_id(token)
        return token_id


@dataclass(frozen=True)
class TokenizerSpec(PickledFields):
    """The tokenizer files of a checkpoint, opened when the first text comes.

    Parameters
    ----------
    folder : str
        Where the files are; which of them count is `tokenizer_files.READERS`' matter.
    normalization : str, optional
        What is done to each text first, a row of `NORMALIZATIONS`; None: nothing.
    """

    folder: str
    normalization: str | None = None

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer. Raises ModelError when the files are missing or cannot be read."""
        from unseen.models.tokenizers.text_normalization import NORMALIZATIONS  # noqa: PLC0415 - as above

        clean = None if self.normalization is None else NORMALIZATIONS[self.normalization]
        return Tokenizer.from_folder(Path(self.folder), clean)

    def open(self) -> None:
        """Read the files now. Raises ModelError when they are missing or cannot be read."""
        self.tokenizer  # noqa: B018 - reading it is the point

    def encode(
        self, texts: Sequence[str], context_length: int | None = None
    ) -> tuple[list[list[int]], list[bool]]:
        """As `Tokenizer.encode`."""
        return self.tokenizer.encode(texts, context_length)

    def token_id(self, token: str) -> int | None:
        """As `Tokenizer.token_id`."""
        return self.tokenizer.token_id(token)


def _reraise_unless_its_own(error: BaseException) -> None:
    """Raises what is not the library's: a panic of its Rust code is a BaseException of pyo3's,
    which has no address to import it from. A regular expression that takes too long is one."""
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error


def _not_unicode(texts: Sequence[str]) -> str:
    """The first text with a lone surrogate, as a badly decoded file name has."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            return text
    raise TypeError("every text must be a str")
