"""Video: what happens in it, and when.

    >>> from unseen import video
    >>> video.classify("clip.mp4", ["a dog", "a cat"]).events          # doctest: +SKIP

Importing this loads nothing heavy: a name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unseen.sources.packets import Sampling as Sampling
    from unseen.sources.pyav import VideoLimits as VideoLimits
    from unseen.video.classification import classify as classify
    from unseen.video.prediction import Event as Event
    from unseen.video.prediction import Peak as Peak
    from unseen.video.prediction import VideoPrediction as VideoPrediction

_MODULES = {
    "Event": "video.prediction",
    "Peak": "video.prediction",
    "Sampling": "sources.packets",
    "VideoLimits": "sources.pyav",
    "VideoPrediction": "video.prediction",
    "classify": "video.classification",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'unseen.video' has no attribute {name!r}")
    value = getattr(import_module(f"unseen.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
