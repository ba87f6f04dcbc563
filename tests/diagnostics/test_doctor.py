"""The doctor: a finding for everything, whatever is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import unseen
from unseen.diagnostics import doctor
from unseen.diagnostics.doctor import Finding, examine
from unseen.models.compiled import BOUNDS


def by_name() -> dict[str, Finding]:
    return {finding.name: finding for finding in examine()}


def test_a_healthy_installation(fresh_home: Path) -> None:
    findings = by_name()
    assert not [f for f in findings.values() if f.ok is False]
    assert findings["unseen"].value == unseen.__version__
    for library in doctor.LIBRARIES:
        assert findings[library].value == metadata.version(library)
    assert "CPUExecutionProvider" in findings["execution providers"].value
    assert "processors" in findings["threads"].value
    assert str(fresh_home) in findings["home"].value and "writable" in findings["home"].value
    assert "HF_HUB_OFFLINE" in findings["hub"].value and "HF_HOME" in findings
    tests = [f for name, f in findings.items() if name.startswith("self-test, ")]
    assert len(tests) == 6 and all(f.ok for f in tests)
    assert float(findings["self-test took"].value.split()[0]) < 600  # the machine may be busy


def test_a_model_that_does_not_load_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise unseen.ModelError("the file is gone")

    monkeypatch.setattr(unseen, "load", broken)
    finding = by_name()["self-test"]
    assert finding.ok is False and "the file is gone" in finding.value and finding.advice


def test_wrong_numbers_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BOUNDS, "fp32", 1.1)
    found = [f.ok for f in doctor._self_test()]
    assert found == [False, True, True, False, True, True, None]


def test_a_missing_library_is_a_finding_and_a_missing_extra_is_none() -> None:
    assert doctor._library("no-such-library").ok is False
    finding = doctor._extra("no-such-library", "parquet")
    assert finding.ok is None and "unseen[parquet]" in finding.value


def test_a_home_that_cannot_be_written_is_found() -> None:
    command = [sys.executable, "-m", "unseen", "doctor", "--json"]
    environment = {**os.environ, "UNSEEN_HOME": "/dev/null/home"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    bad = [f for f in json.loads(done.stdout) if f["ok"] is False]
    assert [f["name"] for f in bad] == ["home"]
    assert "/dev/null/home" in bad[0]["value"] and "UNSEEN_HOME" in bad[0]["advice"]
