"""Where predictions go: what `--json`, `--jsonl`, `--csv` and `-o` say together."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unseen.cli.output import JsonWriter, RecordWriter, TableWriter
from unseen.errors import SourceError
from unseen.results.records import Csv, FacetCsv, JsonLines
from unseen.results.result_file import Writer, check_resumable, kind_of


@dataclass(frozen=True)
class Target:
    """Where predictions go: a format, and a file or standard output."""

    kind: str
    path: Path | None

    @classmethod
    def of(cls, *, as_json: bool, jsonl: bool, csv: Path | None, output: Path | None) -> Target:
        """From the options; SourceError when they contradict one another."""
        given = [
            *([cls("json", None)] if as_json else []),
            *([cls("jsonl", None)] if jsonl else []),
            *([cls("csv", None if str(csv) == "-" else csv)] if csv else []),
        ]
        if len(given) > 1:
            raise SourceError("give one of --json, --jsonl and --csv.")
        if output is None:
            return given[0] if given else cls("table", None)
        if given and given[0].path is not None:
            raise SourceError(f"give one of --csv {given[0].path} and -o {output}.")
        return cls(given[0].kind if given else kind_of(output), output)

    def check(self, *, resume: bool, overwrite: bool) -> None:
        """SourceError, before any work, when the file cannot be written or must not be."""
        if self.path is not None:
            check_resumable(self.path, self.kind, resume=resume, overwrite=overwrite)
        elif resume:
            raise SourceError(
                "give one of --resume and --overwrite."
                if overwrite
                else "--resume needs a file: -o out.jsonl, -o out.csv or --csv out.csv."
            )

    def output(
        self,
        *,
        single: bool,
        top: int,
        extra: tuple[str, ...],
        fields: tuple[str, ...],
        coverage: float | None,
    ) -> Path | Writer:
        """The file, or what writes to standard output.

        `single`: a table of one picture. `top`, `extra`, `fields`: columns of a CSV. `coverage`:
        of the likely labels of a table.
        """
        if self.path is not None:
            return self.path
        if self.kind == "table":
            return TableWriter(sys.stdout, single, coverage)
        if self.kind == "json":
            return JsonWriter()
        return RecordWriter(Csv(top, extra, fields) if self.kind == "csv" else JsonLines())

    def output_of_facets(
        self,
        *,
        single: bool,
        top: int,
        facets: Mapping[str, tuple[str, ...]],
        fields: tuple[str, ...],
        coverages: Mapping[str, float],
    ) -> Path | Writer:
        """As `output`, of several label sets: `facets` has the extra columns of each, `coverages`
        how often the right label of a set is among its likely ones."""
        if self.path is not None:
            return self.path
        if self.kind == "table":
            return TableWriter(sys.stdout, single, coverages=coverages)
        if self.kind == "json":
            return JsonWriter()
        return RecordWriter(FacetCsv(facets, top, fields) if self.kind == "csv" else JsonLines())
