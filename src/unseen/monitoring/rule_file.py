"""A YAML file of rules → rules; what is wrong is said with its line."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from unseen.errors import SourceError
from unseen.monitoring.rules import Between, Rule
from unseen.system.regular_file import read_text

MAX_CHARACTERS, MAX_RULES, MAX_NAMES, MAX_DEPTH = 1_000_000, 1_000, 1_000, 10
DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>ms|s|m|h|d)?")
UNITS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
BETWEEN = re.compile(r"(\d{1,2}):([0-5]\d) ?[-–] ?(\d{1,2}):([0-5]\d)")


def read_rules(
    path: str | Path, *, labels: Collection[str], sinks: Collection[str], gone: float = 2.0
) -> list[Rule]:
    """The rules of a file.

    Parameters
    ----------
    path : str or Path
        A .yaml file: a list of rules, or ``rules:`` with that list. Of a rule ``name`` and
        ``label`` (one, or a list of which any will do) are needed; ``at_least``, ``for``, ``gone``,
        ``between`` with ``tz``, ``cool_down``, ``then`` and ``source`` may be given.
    labels : collection of str
        The labels that there are.
    sinks : collection of str
        The sinks that there are, for ``then``.
    gone : float
        Seconds without a label after which an alarm has ended, where the rule does not say.

    Returns
    -------
    list of Rule
        In the order of the file.

    Raises
    ------
    SourceError
        If the file cannot be read, or a rule cannot be understood; with the line.
    """
    try:
        text = read_text(path, "utf-8-sig")
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file of rules.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: the rules cannot be read: {error}.") from None
    if len(text) > MAX_CHARACTERS:
        raise SourceError(f"{path}: more than {MAX_CHARACTERS:,} characters.")
    reader = _Reader(str(path), labels, sinks, gone)
    return reader.rules(_composed(text, str(path)))


def _composed(text: str, where: str) -> Any:
    """The nodes of a YAML text: nothing is made of them, and an alias is not followed."""
    import yaml  # noqa: PLC0415 - few commands need it

    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = (event.start_mark.line if event.start_mark else 0) + 1
            if isinstance(event, yaml.AliasEvent):
                raise SourceError(f"{where}:{line}: an alias (*) is not allowed here; repeat it.")
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise SourceError(f"{where}:{line}: the YAML is nested too deeply.")
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = "" if mark is None else f":{mark.line + 1}"
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise SourceError(f"{where}{at}: this is not valid YAML: {problem}.") from None


@dataclass(frozen=True)
class _Reader:
    where: str
    labels: Collection[str]
    sinks: Collection[str]
    gone: float

    def rules(self, root: Any) -> list[Rule]:
        if root is not None and root.id == "mapping":
            values = {str(key.value): value for key, value in root.value}
            for key, _ in root.value:
                if key.value != "rules":
                    raise self.error(key, f"unknown key {key.value!r}; the file is a list of rules")
            root = values.get("rules")
        if root is None or root.id != "sequence" or not root.value:
            raise SourceError(
                f"{self.where}: there are no rules in it; it is a list:\n"
                "- name: a person at night\n  label: a person\n  between: 22:00-06:00"
            )
        if len(root.value) > MAX_RULES:
            raise SourceError(f"{self.where}: more than {MAX_RULES:,} rules.")
        rules: list[Rule] = []
        for node in root.value:
            rule = self.rule(node)
            if any(rule.name == other.name for other in rules):
                raise self.error(node, f"there are two rules named {rule.name!r}")
            rules.append(rule)
        return rules

    def rule(self, node: Any) -> Rule:
        if node.id != "mapping":
            raise self.error(node, "a rule has keys: name: …, label: …")
        values: dict[str, Any] = {}
        zone = None
        for key, value in node.value:
            name = str(key.value)
            if name != "tz" and name not in KEYS:
                raise self.error(key, _unknown("key", name, [*KEYS, "tz"]))
            if name in values or (name == "tz" and zone is not None):
                raise self.error(key, f"{name} is given twice")
            if name == "tz":
                zone = self.zone(value)
            else:
                values[name] = KEYS[name][1](self, value)
        for name in ("name", "label"):
            if name not in values:
                raise self.error(node, f"the rule has no {name}")
        between = values.get("between")
        if zone is not None and between is None:
            raise self.error(node, "tz is the time zone of between, which is not given")
        if between is not None:
            values["between"] = replace(between, zone=zone)
        fields = {KEYS[name][0]: value for name, value in values.items()}
        return Rule(**{"gone": self.gone} | fields)

    def error(self, node: Any, problem: str) -> SourceError:
        end = "" if problem.endswith("?") else "."
        return SourceError(f"{self.where}:{node.start_mark.line + 1}: {problem}{end}")

    def text(self, node: Any) -> str:
        if node.id != "scalar" or not node.value.strip():
            raise self.error(node, "here must be one word or number")
        return str(node.value).strip()

    def texts(self, node: Any) -> tuple[str, ...]:
        nodes = node.value if node.id == "sequence" else [node]
        if not 0 < len(nodes) <= MAX_NAMES:
            raise self.error(node, f"here must be one to {MAX_NAMES:,} names")
        return tuple(self.text(one) for one in nodes)

    def known_labels(self, node: Any) -> tuple[str, ...]:
        return self._known(node, "label", self.labels)

    def known_sinks(self, node: Any) -> tuple[str, ...]:
        return self._known(node, "sink", self.sinks)

    def _known(self, node: Any, what: str, known: Collection[str]) -> tuple[str, ...]:
        texts = self.texts(node)
        for text in texts:
            if text not in known:
                raise self.error(node, _unknown(what, text, sorted(known)))
        return texts

    def seconds(self, node: Any) -> float:
        text = self.text(node)
        try:
            return seconds_of(text)
        except ValueError as error:
            raise self.error(node, str(error)) from None

    def share(self, node: Any) -> float:
        text = self.text(node)
        try:
            value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise self.error(node, f"{text!r} is no probability; give 0.8, or 80%")
        return value

    def between(self, node: Any) -> Between:
        text = self.text(node)
        match = BETWEEN.fullmatch(text)
        hours = [] if match is None else [int(match[1]), int(match[3])]
        if match is None or hours[0] > 23 or hours[1] > 24:
            raise self.error(node, f'{text!r} is no part of a day; give "22:00-06:00"')
        start, end = 60 * hours[0] + int(match[2]), 60 * hours[1] + int(match[4])
        if start == end % (24 * 60):
            raise self.error(node, f"{text!r} begins when it ends; leave between out for all day")
        return Between(start, end)

    def zone(self, node: Any) -> ZoneInfo:
        text = self.text(node)
        try:
            return ZoneInfo(text)
        except (OSError, ValueError, LookupError):
            hint = "give one such as Europe/Berlin, or UTC (on Windows: pip install tzdata)"
            raise self.error(node, f"unknown time zone {text!r}; {hint}") from None


# A key of a rule → the field of Rule, and how its value is read.
KEYS: dict[str, tuple[str, Callable[[_Reader, Any], Any]]] = {
    "name": ("name", _Reader.text),
    "label": ("labels", _Reader.known_labels),
    "at_least": ("at_least", _Reader.share),
    "for": ("seconds", _Reader.seconds),
    "gone": ("gone", _Reader.seconds),
    "between": ("between", _Reader.between),
    "cool_down": ("cool_down", _Reader.seconds),
    "then": ("then", _Reader.known_sinks),
    "source": ("sources", _Reader.texts),
}


def seconds_of(text: str) -> float:
    """A time span as people write it, in seconds. Raises ValueError with what is allowed.

    >>> seconds_of("10s"), seconds_of("1.5m"), seconds_of("2")
    (10.0, 90.0, 2.0)
    """
    match = DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no time span; give one such as 10s, 500ms, 5m or 1h")
    return float(match["number"]) * UNITS[match["unit"]]


def _unknown(what: str, given: str, known: list[str]) -> str:
    close = get_close_matches(given, known, 1)
    if close:
        return f"unknown {what} {given!r}; did you mean {close[0]!r}?"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "") if known else "none"
    return f"unknown {what} {given!r}; there are: {shown}"
