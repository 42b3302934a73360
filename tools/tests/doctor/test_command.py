"""What `samstudio doctor` says as a command: line by line, of the pair that was meant, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from samstudio.cli import app
from samstudio.labelstudio import ml_backends
from samstudio.labelstudio.own_records import NAME, OwnRecords
from typer.testing import CliRunner

from tools.tests import documented, stand_in_backend
from tools.tests.doctor.bench import PASSWORD, USER, Bench
from tools.tests.doctor.rows.means import delete_tasks
from tools.tests.servers import free_port

NOWHERE = "http://127.0.0.1:1"


def secret(folder: Path, name: str, value: str) -> str:
    file = folder / name
    file.touch(mode=0o600)
    file.write_text(value)
    return str(file)


@pytest.fixture
def command(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return [
        "--config-dir",
        str(tmp_path),
        "doctor",
        "--label-studio-url",
        bench.studio.server.url,
        "--backend-url",
        bench.backend.url,
        "--project",
        str(bench.project),
        "--token-file",
        secret(tmp_path, "token", bench.studio.token),
        "--backend-user",
        USER,
        "--password-file",
        secret(tmp_path, "password", PASSWORD),
        "--tunnel-state",
        str(tmp_path / "tunnel.json"),
    ]


@pytest.mark.integration
def test_a_healthy_pair_is_all_green(bench: Bench, command: list[str]) -> None:
    ran = CliRunner().invoke(app, [*command, "--json"])
    told = json.loads(ran.stdout)
    documented.check(["doctor"], told)
    assert ran.exit_code == 0, ran.output
    assert told["healthy"]
    assert {finding["status"] for finding in told["findings"]} == {"ok", "skipped"}
    looked_at = {finding["link"] for finding in told["findings"] if finding["status"] == "ok"}
    assert {"backend", "token", "ssrf", "ml-record", "interactive", "image", "click"} <= looked_at


@pytest.mark.integration
def test_a_broken_link_is_exit_code_1_and_fix_mends_it(bench: Bench, command: list[str], tmp_path: Path) -> None:
    bench.edit_record(is_interactive=False, url="http://127.0.0.1:9")
    OwnRecords(tmp_path / "samstudio" / NAME).remember(bench.studio.server.url, bench.record)
    broken = CliRunner().invoke(app, command)
    assert broken.exit_code == 1
    assert "record-url-wrong" in broken.output
    mended = CliRunner().invoke(app, [*command, "--fix", "--json"])
    told = json.loads(mended.stdout)
    documented.check(["doctor"], told)
    assert mended.exit_code == 0, mended.output
    assert "is_interactive" in " ".join(told["did"])
    assert bench.studio.token not in broken.output + mended.output
    assert PASSWORD not in broken.output + mended.output


@pytest.mark.integration
def test_fix_leaves_the_record_of_another_backend_alone(bench: Bench, command: list[str]) -> None:
    bench.edit_record(url="http://127.0.0.1:9")
    mended = CliRunner().invoke(app, [*command, "--fix"])
    assert mended.exit_code == 0, mended.output
    urls = {record.id: record.url for record in ml_backends.records(bench.studio.connection, bench.project)}
    assert urls.pop(bench.record) == "http://127.0.0.1:9"
    assert list(urls.values()) == [bench.backend.url]


def test_nothing_to_look_at_is_exit_code_3(tmp_path: Path) -> None:
    readable = tmp_path / "token"
    readable.write_text("x")
    readable.chmod(0o644)
    ran = CliRunner().invoke(app, ["--config-dir", str(tmp_path), "doctor", "--token-file", str(readable)])
    assert ran.exit_code == 3
    assert "chmod 0600" in ran.output


def test_a_wrong_command_line_is_exit_code_2() -> None:
    assert CliRunner().invoke(app, ["doctor", "--project", "three"]).exit_code == 2


@pytest.mark.integration
def test_where_no_click_came_back_nothing_is_proven(bench: Bench, command: list[str]) -> None:
    delete_tasks(bench)
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 3, ran.output
    assert "no-task" in ran.output
    told = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert told["healthy"] is False
    assert told["broken"] is None


@pytest.mark.integration
def test_the_secrets_may_come_from_the_environment(bench: Bench, tmp_path: Path) -> None:
    ran = CliRunner().invoke(
        app,
        [
            "--config-dir",
            str(tmp_path),
            "doctor",
            "--json",
            "--project",
            str(bench.project),
            "--backend-user",
            USER,
            "--label-studio-url",
            bench.studio.server.url,
            "--backend-url",
            bench.backend.url,
        ],
        env={"LABEL_STUDIO_API_KEY": bench.studio.token, "BASIC_AUTH_PASS": PASSWORD},
    )
    assert ran.exit_code == 0, ran.output


Describe = Callable[..., None]


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    def write(studio: str, backend: str) -> None:
        described = {"label_studio": {"url": studio}, "backend": {"url": backend, "internal_url": "http://model:9090"}}
        (tmp_path / "deployment.yml").write_text(yaml.safe_dump(described))

    return write


def findings(folder: Path, *options: str) -> dict[str, Any]:
    ran = CliRunner().invoke(app, ["--config-dir", str(folder), "doctor", "--json", *options], catch_exceptions=False)
    assert ran.exit_code == 1, ran.output
    return {finding["link"]: finding for finding in json.loads(ran.stdout)["findings"]}


def test_another_label_studio_leaves_the_deployed_backend_in_place(
    tmp_path: Path, describe: Describe, backend: stand_in_backend.StandIn
) -> None:
    describe("http://127.0.0.1:8080", backend.url)
    found = findings(tmp_path, "--label-studio-url", NOWHERE)
    assert backend.url in found["settings"]["evidence"]
    assert found["backend"]["status"] == "ok"
    assert found["label-studio"]["cause"] == "label-studio-down"


def test_the_stored_secrets_are_shown_to_no_other_server(
    tmp_path: Path, describe: Describe, backend: stand_in_backend.StandIn
) -> None:
    describe("http://127.0.0.1:8080", "http://127.0.0.1:9090")
    (tmp_path / "secrets").mkdir(mode=0o700)
    secret(tmp_path / "secrets", "backend_basic_auth_password", stand_in_backend.PASSWORD)
    found = findings(tmp_path, "--backend-url", backend.url)
    assert found["backend-auth"]["cause"] == "backend-auth-missing"
    describe("http://127.0.0.1:8080", backend.url)
    found = findings(tmp_path, "--backend-url", backend.url, "--label-studio-url", NOWHERE)
    assert found["backend-auth"]["status"] == "ok"


def test_naming_the_deployed_pair_is_looking_at_the_deployed_pair(tmp_path: Path, describe: Describe) -> None:
    describe("http://127.0.0.1:8080", "http://127.0.0.1:9090")
    found = findings(tmp_path, "--label-studio-url", "http://127.0.0.1:8080", "--backend-url", "http://127.0.0.1:9090")
    assert "without containers" not in found["engine"]["evidence"]


@pytest.mark.parametrize("option", ["--token-file", "--password-file"])
def test_a_missing_secret_file_is_told_in_words_for_this_machine(tmp_path: Path, option: str) -> None:
    argv = ["--config-dir", str(tmp_path), "doctor", option, str(tmp_path / "absent")]
    ran = CliRunner().invoke(app, argv)
    assert ran.exit_code == 3
    assert f"no file {tmp_path / 'absent'}" in ran.output
    assert "install -m 0600" in ran.output
    assert " ensure" not in ran.output
    told = json.loads(CliRunner().invoke(app, [*argv, "--json"]).stdout)
    assert str(tmp_path / "absent") in told["error"]["found"]


@pytest.mark.parametrize("url", ["http://[::1", "http://a..b:9090", "http://:9090"])
def test_an_address_that_is_none_is_a_broken_link(tmp_path: Path, describe: Describe, url: str) -> None:
    describe(url, "http://127.0.0.1:9090")
    assert findings(tmp_path)["settings"]["cause"] == "url-unusable"
    describe("http://127.0.0.1:8080", url)
    assert findings(tmp_path)["settings"]["cause"] == "url-unusable"


def test_another_users_deployment_is_told_to_be_another_users(tmp_path: Path) -> None:
    (tmp_path / "deployment.yml").write_text("{}")
    (tmp_path / "secrets").mkdir(mode=0o000)
    as_nobody = [
        "setpriv",
        "--bounding-set=-dac_override,-dac_read_search",
        "--inh-caps=-dac_override,-dac_read_search",
    ]
    argv = [*(as_nobody if os.getuid() == 0 else []), sys.executable, "-m", "samstudio", "--config-dir", str(tmp_path)]
    ran = subprocess.run([*argv, "doctor", "--json"], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 3, ran.stderr
    assert "Traceback" not in ran.stderr
    assert "sudo samstudio" in ran.stderr
    assert "Permission denied" in json.loads(ran.stdout)["error"]["found"]


@pytest.fixture
def hanging_backend() -> Iterator[tuple[str, threading.Event, threading.Event]]:
    """A server that answers when told to, or, told nothing, notes that it waited in vain."""
    answer, in_vain = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not answer.wait(timeout=5):
                in_vain.set()
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", answer, in_vain
    answer.set()
    server.shutdown()
    server.server_close()


def test_each_link_is_told_as_it_is_walked(
    tmp_path: Path, hanging_backend: tuple[str, threading.Event, threading.Event]
) -> None:
    url, answer, in_vain = hanging_backend
    argv = [sys.executable, "-m", "samstudio", "--config-dir", str(tmp_path), "doctor"]
    with subprocess.Popen(
        [*argv, "--label-studio-url", NOWHERE, "--backend-url", url], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        walked = []
        for line in process.stdout:
            walked.append(line)
            if line.split()[1] == "network":
                break
        told_while_the_next_link_waits = not in_vain.is_set()
        answer.set()
        rest = process.stdout.read()
    assert told_while_the_next_link_waits
    assert "not-a-backend" in rest
    assert process.returncode == 1
