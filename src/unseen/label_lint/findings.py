"""What the doctor says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)


@dataclass(frozen=True)
class Finding:
    """One thing found. `kind` names it for programs, docs/doctor.md has the list.

    `effect`: what doing it changes, computed with this model; `figures` are its numbers.
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
