"""Findings about a label set, as text."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from unseen.label_lint.findings import SEVERITIES, Finding
from unseen.system.printable import printable

WIDTH = 100
SHOWN = 10  # findings of one kind
INDENT = " " * 9


def lines(findings: Sequence[Finding], labels: int) -> Iterator[str]:
    """The report of `unseen labels doctor` about a label set of so many labels."""
    shown: Counter[str] = Counter()
    for finding in findings:
        shown[finding.kind] += 1
        if shown[finding.kind] > SHOWN:
            continue
        about = ", ".join(finding.labels[:SHOWN]) + (" …" if len(finding.labels) > SHOWN else "")
        yield printable(f"{finding.severity:<9}{finding.kind}{f': {about}' if about else ''}")
        yield from _wrapped("", finding.problem)
        yield from _wrapped("do: ", finding.advice)
        if finding.effect:
            yield from _wrapped("then: ", finding.effect)
        if finding.pictures:
            yield from _wrapped("such as: ", ", ".join(finding.pictures))
    if findings:
        yield ""
    for kind, count in shown.items():
        if count > SHOWN:
            yield f"{kind}: {count - SHOWN} more (--json has all)"
    counts = Counter(finding.severity for finding in findings)
    totals = [f"{counts[s]} {s}{'' if counts[s] == 1 else 's'}" for s in SEVERITIES]
    yield f"{labels} labels: {', '.join(totals)}"


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        printable(head + text), WIDTH, initial_indent=INDENT, subsequent_indent=INDENT
    )
