"""The probes, run for real on this machine as a role runs them: the file alone, by whatever Python is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from samstudio.gpu import PROBES, collect, outputs_from_json, parse

SCRIPT = Path(sys.modules[collect.__module__].__file__ or "")


def test_the_script_alone_prints_what_the_parser_reads() -> None:
    done = subprocess.run([sys.executable, "-I", str(SCRIPT)], capture_output=True, check=True, text=True, timeout=120)
    outputs = outputs_from_json(done.stdout)
    assert set(outputs) == set(PROBES)
    facts = parse(outputs)
    assert facts.kernel
    assert facts.machine
    assert facts.os_id != "unknown"


def test_a_command_that_hangs_is_reported_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules[collect.__module__]
    monkeypatch.setattr(module, "PROBES", {"smi": ("sleep", "30"), "engine": ("no-such-command",)})
    monkeypatch.setattr(module, "_SECONDS_PER_PROBE", 0.2)
    answers = collect()
    assert answers["smi"]["returncode"] == 124
    assert "did not answer" in str(answers["smi"]["stderr"])
    assert answers["engine"]["returncode"] is None


def test_anything_else_than_the_script_output_is_refused() -> None:
    with pytest.raises(ValueError, match=r"collect\.py, found 'sudo: a password"):
        outputs_from_json("sudo: a password is required")
