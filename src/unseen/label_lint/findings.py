"""`Finding`: one problem of a label set, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """One problem and what to do about it. `unseen help doctor` lists the kinds.

    `effect`: what following the advice changes, computed with this model; `figures` are its
    numbers.
    """

    kind: str
    severity: str
    labels: tuple[str, ...]
    problem: str
    advice: str
    effect: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    pictures: tuple[str, ...] = ()


def by_severity(findings: list[Finding]) -> list[Finding]:
    """Errors first; else in the order of the checks."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
