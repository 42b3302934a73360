"""What every verb shares: help, usage, exit codes, and no traceback, whatever goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from samstudio.cli import app
from samstudio.secret_store import SecretStore
from typer.testing import CliRunner

from tools.tests import documented
from tools.tests.commands import typed

TOOLS = Path(__file__).parents[1]


#: Becomes another user once everything is imported: the test's own Python may be where only root reads.
AS_NOBODY = """
import importlib, json, os, pkgutil, pwd, sys
import samstudio, label_studio_sdk.core.api_error
from typer.testing import CliRunner
for each in pkgutil.walk_packages(samstudio.__path__, "samstudio."):
    if not each.name.endswith("__main__"):
        importlib.import_module(each.name)
label_studio_sdk.LabelStudio
if os.geteuid() == 0:
    os.setgroups([])
    os.setegid(pwd.getpwnam("nobody").pw_gid)
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
answers = {}
for words in json.loads(sys.argv[1]):
    ran = CliRunner().invoke(samstudio.cli.app, words)
    answers[" ".join(words[2:])] = [ran.exit_code, ran.output]
print(json.dumps(answers))
"""
VERBS_OF_ROOT = (
    ["status"],
    ["register"],
    ["click"],
    ["prewarm", "1"],
    ["masks", "1"],
    ["token", "ensure"],
    ["token", "rotate"],
    ["secrets", "ensure"],
    ["secrets", "list"],
    ["tunnel", "open"],
    ["doctor"],
    ["backup"],
    ["restore", "--finish"],
    ["copy-to-postgresql"],
)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A deployment whose secrets the caller may not even list."""
    folder = tmp_path / "etc"
    store = SecretStore(folder / "secrets")
    store.ensure()
    store.write("label_studio_api_token", "x" * 40)
    (folder / "deployment.yml").write_text("label_studio: {url: 'http://127.0.0.1:9'}\n")
    for above in (folder, *folder.parents):
        if Path(tempfile.gettempdir()) in above.parents:
            above.chmod(above.stat().st_mode | 0o055)
    if os.geteuid():
        store.folder.chmod(0)
    yield folder
    store.folder.chmod(0o700)


def test_another_user_gets_a_sentence_and_no_traceback(locked: Path) -> None:
    lines = [["--config-dir", str(locked), *words] for words in VERBS_OF_ROOT]
    ran = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, json.dumps(lines)],
        env={**os.environ, "PYTHONPATH": str(TOOLS), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    answers = json.loads(ran.stdout.splitlines()[-1])
    assert len(answers) == len(VERBS_OF_ROOT)
    for verb, (code, said) in answers.items():
        assert code in (1, 3), (verb, said)
        assert "ermission" in said, (verb, said)
        assert "sudo" in said, (verb, said)


@pytest.fixture
def another_server() -> Iterator[str]:
    """Answers 200 to everything, and is no Label Studio."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>It works!</html>")

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def deployed(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    store = SecretStore(folder / "secrets")
    store.ensure()
    store.write("label_studio_api_token", "x" * 40)
    (folder / "deployment.yml").write_text("project: {title: 'Quick start'}\n")
    return folder


@pytest.mark.parametrize(
    "words",
    [["register"], ["click"], ["status"], ["token", "show"], ["token", "ensure"], ["prewarm", "1"], ["masks", "1"]],
)
def test_a_port_that_is_something_else_is_named(words: list[str], deployed: Path, another_server: str) -> None:
    (deployed / "deployment.yml").write_text(f"label_studio: {{url: '{another_server}'}}\n")
    ran = typed("--config-dir", str(deployed), *words)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
    assert "not Label Studio" in ran.stdout + ran.stderr
    assert another_server in ran.stdout + ran.stderr


@pytest.mark.parametrize("url", ["http://[::1", "http://", "ftp://lab", "http://lab:99999"])
def test_a_url_that_is_none_is_a_wrong_command_line(url: str, deployed: Path) -> None:
    ran = typed("--config-dir", str(deployed), "register", "--label-studio-url", url, "--backend-url", "http://b:9090")
    assert ran.returncode == 2, ran.stderr
    assert "--label-studio-url" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_what_nobody_thought_of_is_one_sentence_unless_a_traceback_is_asked_for(
    deployed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> Any:
        raise ZeroDivisionError("by accident")

    monkeypatch.setattr("samstudio.status.collect", fails)
    ran = CliRunner().invoke(app, ["--config-dir", str(deployed), "status", "--json"])
    assert ran.exit_code == 1
    error = json.loads(ran.stdout)["error"]
    assert "ZeroDivisionError: by accident" in error["found"]
    assert "--traceback" in error["command"]
    assert "Traceback" not in ran.stderr
    asked = CliRunner().invoke(app, ["--config-dir", str(deployed), "--traceback", "status"])
    assert asked.exit_code == 1
    assert "Traceback" in asked.stderr
    assert "ZeroDivisionError" in asked.stderr


@pytest.mark.parametrize("words", [["status"], ["secrets", "show"], ["secrets", "list"]])
def test_where_nothing_is_deployed_nothing_is_looked_at(words: list[str], tmp_path: Path) -> None:
    ran = typed("--config-dir", str(tmp_path), *words, "--json")
    assert ran.returncode == 3, ran.stdout + ran.stderr
    told = json.loads(ran.stdout)
    documented.check(words, told)
    assert str(tmp_path) in told["error"]["found"]
    assert "./samstudio deploy" in told["error"]["command"]
    assert "secrets ensure" not in ran.stdout + ran.stderr
    assert "127.0.0.1" not in ran.stdout + ran.stderr, "an address that nobody gave"
    assert "Traceback" not in ran.stderr


def test_status_where_nothing_is_deployed_says_what_looks_elsewhere(tmp_path: Path) -> None:
    ran = typed("--config-dir", str(tmp_path), "status")
    assert (ran.returncode, ran.stdout) == (3, "")
    assert "Nothing is deployed on this host." in ran.stderr
    assert "samstudio doctor --label-studio-url" in ran.stderr
