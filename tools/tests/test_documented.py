"""docs/command-line.md documents the JSON of every verb that has any, and of no other."""

from __future__ import annotations

import hashlib
import platform
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer.main
from samstudio.bundle import check, pack
from samstudio.cli import app

from tools.tests import documented, label_studio
from tools.tests.commands import invoke, run


def verbs(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, below in getattr(command, "commands", {}).items():
        yield from verbs(below, (*words, name))
    if not hasattr(command, "commands"):
        yield " ".join(words), command


def test_every_verb_has_json_and_is_documented() -> None:
    found = dict(verbs(typer.main.get_command(app)))
    without = [name for name, verb in found.items() if not any("--json" in each.opts for each in verb.params)]
    assert without == []
    assert set(found) == set(documented.verbs()) - {documented.FAILING}


def test_what_differs_from_the_page_is_noticed() -> None:
    good = {"changed": False, "name": "gpu1"}
    documented.check(["backends", "drain"], good)
    documented.check(["backends", "drain"], {"changed": False, "error": {"message": "No."}})
    for wrong in ({"name": "gpu1"}, {**good, "more": 1}, {**good, "changed": "no"}):
        with pytest.raises(jsonschema.ValidationError):
            documented.check(["backends", "drain"], wrong)


def test_what_the_verbs_without_label_studio_print(tmp_path: Path) -> None:
    """`run` compares each answer with the page; so do the tests of the verbs that ask Label Studio or the backend."""
    run(tmp_path, "secrets", "ensure")
    run(tmp_path, "secrets", "list")
    run(tmp_path, "secrets", "path")
    run(tmp_path, "secrets", "show")
    run(tmp_path, "ssrf", "settings", "--address", "192.0.2.20")
    run(tmp_path, "samples", "draw", "--dir", str(tmp_path / "samples"))
    run(tmp_path, "tunnel", "close", "--state", str(tmp_path / "none.json"))
    assert "error" in invoke(tmp_path, "tunnel", "status", "--state", str(tmp_path / "none.json"))[1]

    archive = tmp_path / "ngrok.tgz"
    (tmp_path / "ngrok").write_text("#!/bin/sh\n")
    with tarfile.open(archive, "w:gz") as made:
        made.add(tmp_path / "ngrok", "ngrok")
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    source = ["--source", str(archive), "--sha256", sha256, "--agent", str(tmp_path / "bin" / "ngrok")]
    run(tmp_path, "tunnel", "install-agent", *source)

    member = tmp_path / "samstudio"
    member.write_text("x")
    members = {"samstudio/samstudio": member, "debs/Packages": member}
    choices = {"model": "demo", "device": "cpu"}
    described = {"os": check.this_system(), "arch": platform.machine(), "python": "3.11", "choices": choices}
    bundle = tmp_path / "bundle.tar"
    pack.write(bundle, pack.manifest(described, members, lambda _: None), members, lambda _: None)
    run(tmp_path, "bundle", "check", str(bundle))
    run(tmp_path, "bundle", "inspect", str(bundle))


@pytest.mark.integration
def test_what_ssrf_show_prints(tmp_path: Path) -> None:
    run(tmp_path, "ssrf", "show", "--python", str(label_studio.python()), "--address", "192.0.2.20")
