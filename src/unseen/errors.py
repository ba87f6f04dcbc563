"""Everything that `unseen` raises on purpose.

    UnseenError
    ├── SourceError      nothing to read: a missing path, an empty folder, a silent URL
    ├── ImageError       something was read, and it is no picture we can or may open
    ├── LabelError       labels, templates or label files that cannot be used
    ├── ModelError       a checkpoint that is missing, broken, unsupported or refused
    ├── StoreError       an index that is missing, damaged, or made for another model
    └── MissingExtraError   an optional library is absent; the message holds the pip line

A message says what was given, what is wrong, and what to do. `UnseenWarning` is the one category
of our warnings.
"""

from __future__ import annotations

from typing import TypeVar


class UnseenError(Exception):
    """Base of every error that a user can do something about."""


class SourceError(UnseenError):
    """A path, folder, glob or URL has nothing to read."""


class ImageError(UnseenError):
    """The bytes are no picture that can, or may, be opened."""


class LabelError(UnseenError):
    """Labels, prompts, templates or a label file cannot be used as given."""


class ModelError(UnseenError):
    """A checkpoint is missing, damaged, unsupported, or refused for safety."""


class StoreError(UnseenError):
    """An index is missing, damaged, of a later version, or made for another model."""


class MissingExtraError(UnseenError):
    """A feature needs an optional library.

    >>> str(MissingExtraError("Parquet output", library="pyarrow", extra="parquet"))
    'Parquet output needs pyarrow, which is not installed: pip install "unseen[parquet]"'
    """

    def __init__(self, feature: str, library: str, extra: str) -> None:
        super().__init__(
            f'{feature} needs {library}, which is not installed: pip install "unseen[{extra}]"'
        )
        self.library = library
        self.extra = extra


ErrorT = TypeVar("ErrorT", bound=BaseException)


def without_frames(error: ErrorT) -> ErrorT:
    """The same error with its message alone, for one that is kept rather than raised.

    A traceback holds every frame that it passed, and so do those of the errors before it; frames
    hold pictures.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


class UnseenWarning(UserWarning):
    """Something was put right or left out, and the user should know."""


class LabelWarning(UnseenWarning):
    """Labels that can be used, and are probably not what was meant."""
