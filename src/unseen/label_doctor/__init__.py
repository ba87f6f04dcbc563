"""Label sets looked over before any picture is, and beside pictures that nobody has labelled.

`examine` reads the words; `look_at` sees how they do on pictures. Both give findings that say what
to do and, where that can be computed, what it does.
"""

from unseen.label_doctor.findings import Finding, by_severity
from unseen.label_doctor.pictures import look_at
from unseen.label_doctor.subject import Subject
from unseen.label_doctor.words import examine

__all__ = ["Finding", "Subject", "by_severity", "examine", "look_at"]
