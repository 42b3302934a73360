"""What the doctor says is complete, current, fit to be pasted into an issue, and told by its exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from samstudio.cli import app
from samstudio.doctor.causes.table import CAUSES
from samstudio.doctor.docs import page
from samstudio.doctor.redact import HIDDEN, redact
from samstudio.tunnel.failures import FAILURES as TUNNEL
from typer.testing import CliRunner

from tools.tests.doctor.bench import PASSWORD, USER, Bench
from tools.tests.doctor.rows import ROWS
from tools.tests.doctor.test_containers import CONTAINER_CAUSES
from tools.tests.doctor.test_host import HOST_CAUSES

DOCS = Path(__file__).parents[3] / "docs" / "troubleshooting.md"


def test_every_cause_is_produced() -> None:
    produced = {row.cause for row in ROWS} | CONTAINER_CAUSES | HOST_CAUSES | {cause.id for cause in TUNNEL}
    known = {cause.id for cause in CAUSES}
    assert produced == known
    assert len(known) == len(CAUSES)


def test_no_mend_replaces_a_labeling_config() -> None:
    assert [cause.id for cause in CAUSES if "--set-config" in cause.fix] == []


def test_the_troubleshooting_page_is_current() -> None:
    assert DOCS.read_text() == page(), "run: python -m samstudio.doctor.docs > docs/troubleshooting.md"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Basic bGFiZWw6cGFzcw==", f"Authorization: {HIDDEN}"),
        ("token eyJhbGciOiJI.eyJ0b2tlbl90.c2lnbmF0dXJl refused", f"token {HIDDEN} refused"),
        ("http://label-studio:pass@10.0.0.7:9090/x", f"http://{HIDDEN}@10.0.0.7:9090/x"),
        ("BASIC_AUTH_PASS=hunter2 DEVICE=cpu", f"BASIC_AUTH_PASS={HIDDEN} DEVICE=cpu"),
        ("'basic_auth_pass': 'hunter2'", f"'basic_auth_pass': '{HIDDEN}'"),
        ("/home/anna/models/x.pt is missing", "~/models/x.pt is missing"),
        ("/root/x and /rooted/x", "~/x and /rooted/x"),
        ("No space left on device", "No space left on device"),
    ],
)
def test_secrets_and_home_folders_are_taken_out(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_known_secrets_are_taken_out_wherever_they_are() -> None:
    assert redact("the s3cret and s3cret-longer", ["s3cret", "s3cret-longer"]) == f"the {HIDDEN} and {HIDDEN}"


def secret(folder: Path, name: str, value: str) -> str:
    file = folder / name
    file.touch(mode=0o600)
    file.write_text(value)
    return str(file)


@pytest.fixture
def command(bench: Bench, tmp_path: Path) -> list[str]:
    return [
        "--config-dir", str(tmp_path), "doctor",
        "--label-studio-url", bench.studio.server.url, "--backend-url", bench.backend.url,
        "--project", str(bench.project), "--token-file", secret(tmp_path, "token", bench.studio.token),
        "--backend-user", USER, "--password-file", secret(tmp_path, "password", PASSWORD),
        "--tunnel-state", str(tmp_path / "tunnel.json"),
    ]  # fmt: skip


@pytest.mark.integration
def test_a_healthy_pair_is_all_green(bench: Bench, command: list[str]) -> None:
    ran = CliRunner().invoke(app, [*command, "--json"])
    told = json.loads(ran.stdout)
    assert ran.exit_code == 0, ran.output
    assert told["healthy"]
    assert {finding["status"] for finding in told["findings"]} == {"ok", "skipped"}
    looked_at = {finding["link"] for finding in told["findings"] if finding["status"] == "ok"}
    assert {"backend", "token", "ssrf", "ml-record", "interactive", "image", "click"} <= looked_at


@pytest.mark.integration
def test_a_broken_link_is_exit_code_1_and_fix_mends_it(bench: Bench, command: list[str]) -> None:
    bench.edit_record(is_interactive=False, url="http://127.0.0.1:9")
    broken = CliRunner().invoke(app, command)
    assert broken.exit_code == 1
    assert "record-url-wrong" in broken.output
    mended = CliRunner().invoke(app, [*command, "--fix", "--json"])
    told = json.loads(mended.stdout)
    assert mended.exit_code == 0, mended.output
    assert "is_interactive" in " ".join(told["did"])
    assert bench.studio.token not in broken.output + mended.output
    assert PASSWORD not in broken.output + mended.output


def test_nothing_to_look_at_is_exit_code_3(tmp_path: Path) -> None:
    readable = tmp_path / "token"
    readable.write_text("x")
    readable.chmod(0o644)
    ran = CliRunner().invoke(app, ["--config-dir", str(tmp_path), "doctor", "--token-file", str(readable)])
    assert ran.exit_code == 3
    assert "chmod 0600" in ran.output


def test_a_wrong_command_line_is_exit_code_2() -> None:
    assert CliRunner().invoke(app, ["doctor", "--project", "three"]).exit_code == 2
