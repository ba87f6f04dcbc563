"""Label sets looked over before any picture is, and beside pictures that nobody has labelled.

`examine` reads the words; `look_at` sees how they do on pictures. Both give findings that say what
to do and, where that can be computed, what it does.
"""

from unseen.label_lint.context import Subject
from unseen.label_lint.findings import Finding, by_severity
from unseen.label_lint.messages import examine
from unseen.label_lint.pictures import look_at

__all__ = ["Finding", "Subject", "by_severity", "examine", "look_at"]
