"""Cameras, streams and folders followed for weeks: what happens there, and who is told.

    >>> from unseen import monitoring
    >>> for message in monitoring.watch(["camera:0"], ["a person", "nobody"]):  # doctest: +SKIP
    ...     print(message["type"], message["source"])

Importing this loads nothing heavy: a name is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from unseen.monitoring.rule_file import read_rules as read_rules
    from unseen.monitoring.rules import Rule as Rule
    from unseen.monitoring.start import watch as watch
    from unseen.monitoring.watching import Watch as Watch

_MODULES = {
    "Rule": "monitoring.rules",
    "Watch": "monitoring.watching",
    "read_rules": "monitoring.rule_file",
    "watch": "monitoring.start",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'unseen.monitoring' has no attribute {name!r}")
    value = getattr(import_module(f"unseen.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
