"""What `samstudio metrics` tells, and that what cannot be looked at is told as the worst."""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
import yaml
from samstudio import deployment
from samstudio.backup import history, manifest
from samstudio.errors import SamstudioError
from samstudio.watching import certificates, exposition
from samstudio.watching.collect import HELPS
from samstudio.watching.exposition import Sample

from tools.tests.commands import fails, invoke, run
from tools.tests.test_backup_kept import back_up
from tools.tests.test_backup_kept import host as host
from tools.tests.test_backup_kept import target as target
from tools.tests.watching.promtool import promtool

DAY = 86400


@pytest.fixture(autouse=True)
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")


def values(printed: dict[str, Any]) -> dict[tuple[str, ...], float]:
    return {(each["name"], *each["labels"].values()): each["value"] for each in printed["metrics"]}


def test_prometheus_takes_what_is_written(host: Path, tmp_path: Path) -> None:
    file = tmp_path / "samstudio.prom"
    printed = run(host, "metrics", "--to", str(file))
    assert (printed["changed"], printed["file"]) == (True, str(file))
    text = file.read_text()
    judged = promtool("check", "metrics", given=text)
    assert (judged.returncode, judged.stdout + judged.stderr) == (0, "")
    judged = promtool(
        "check", "metrics", given="\n".join(line for line in text.splitlines() if "HELP" not in line) + "\n"
    )
    assert judged.returncode != 0
    assert "no help text" in judged.stdout + judged.stderr
    assert file.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.glob("*samstudio.prom*")] == [file.name]


def test_where_nothing_answers_all_is_told_as_the_worst(host: Path) -> None:
    told = values(run(host, "metrics"))
    worst = {
        ("samstudio_label_studio_up",): 0,
        ("samstudio_click_last_right_timestamp_seconds", "label-studio"): 0,
        ("samstudio_click_right", "label-studio"): 0,
        ("samstudio_backup_last_good_timestamp_seconds",): 0,
        ("samstudio_rehearsal_last_good_timestamp_seconds",): 0,
        ("samstudio_backups_scheduled_since_timestamp_seconds",): 0,
        ("samstudio_image_built_timestamp_seconds", "no-such-container"): 0,
    }
    assert {key: told.get(key) for key in worst} == worst
    assert not [key for key in told if key[0] in ("samstudio_click_median_seconds", "samstudio_click_lowest_iou")]


def test_a_host_on_which_nothing_is_deployed_tells_nothing(tmp_path: Path) -> None:
    assert invoke(tmp_path, "metrics", "--to", str(tmp_path / "x.prom"))[0] == 3
    assert list(tmp_path.iterdir()) == []


def test_a_click_that_fails_leaves_when_it_was_right_last(host: Path, tmp_path: Path) -> None:
    file = tmp_path / "samstudio.prom"
    name = "samstudio_click_last_right_timestamp_seconds"
    before = [Sample(name, 1700000000.25, {"through": "label-studio"}), Sample(name, 5, {"through": "gone"})]
    file.write_text(exposition.render(before, HELPS))
    told = values(run(host, "metrics", "--to", str(file)))
    assert {key: value for key, value in told.items() if key[0] == name} == {(name, "label-studio"): 1700000000.25}


def test_a_folder_that_is_not_there_is_made_and_a_file_in_its_place_is_an_error(host: Path, tmp_path: Path) -> None:
    assert run(host, "metrics", "--to", str(tmp_path / "new" / "samstudio.prom"))["changed"]
    (tmp_path / "file").touch()
    assert fails(host, "metrics", "--to", str(tmp_path / "file" / "samstudio.prom"))["found"]


def test_labels_come_back_as_they_were(tmp_path: Path) -> None:
    told = [Sample("samstudio_click_right", 1, {"through": 'a "b" \\ c'}), Sample("samstudio_label_studio_up", 0.5)]
    text = exposition.render(told, HELPS)
    assert promtool("check", "metrics", given=text).returncode == 0
    (tmp_path / "x").write_text(exposition.render([Sample("samstudio_click_right", 1, {"through": "gpu1:2"})], HELPS))
    assert exposition.read(tmp_path / "x") == [Sample("samstudio_click_right", 1, {"through": "gpu1:2"})]
    with pytest.raises(KeyError):
        exposition.render([Sample("samstudio_unknown", 1)], HELPS)


def test_backups_and_rehearsals_are_told_as_they_were_noted(host: Path, target: Path) -> None:
    began = time.time() - 1
    backup = back_up(host, target)
    run(host, "restore", "--rehearse")
    timer = host / "backup.timer"
    timer.touch()
    described = yaml.safe_load((host / "deployment.yml").read_text())
    (host / "deployment.yml").write_text(yaml.safe_dump({**described, "backups": {"timer": str(timer)}}))
    told = values(run(host, "metrics"))
    assert told["samstudio_backup_last_good_bytes",] == manifest.read(backup).bytes > 3000
    for kind in history.Kind:
        assert began <= told[f"samstudio_{kind.value}_last_good_timestamp_seconds",] <= time.time()
        assert told[f"samstudio_{kind.value}_failed",] == 0
    assert told["samstudio_backups_scheduled_since_timestamp_seconds",] == pytest.approx(timer.stat().st_mtime)
    fails(host, "backup", "--to", str(host.parent / "var" / "inside"))
    later = run(host, "metrics")
    assert values(later)["samstudio_backup_failed",] == 1
    assert values(later)["samstudio_backup_last_good_timestamp_seconds",] > began, "the good one is still known"
    assert any(sentence.startswith("the last backup failed: ") for sentence in later["wrong"])
    timer.unlink()
    assert values(run(host, "metrics"))["samstudio_backups_scheduled_since_timestamp_seconds",] == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for ten days, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    crt, key = folder / "crt.pem", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    named = ["-days", "10", "-subj", "/CN=label.example.com", "-keyout", str(key), "-out", str(crt)]
    subprocess.run([*made, *named], check=True, capture_output=True, timeout=30)
    return crt, key


@contextmanager
def shown(crt: Path, key: Path) -> Iterator[str]:
    """A server that shows a certificate and hangs up; its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)

    class Hello(BaseRequestHandler):
        def handle(self) -> None:
            context.wrap_socket(self.request, server_side=True).close()

    with ThreadingTCPServer(("127.0.0.1", 0), Hello) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_certificates_are_told_as_served_and_as_kept(host: Path, certificate: tuple[Path, Path]) -> None:
    crt, key = certificate
    (host / deployment.INTERNAL_CA).write_bytes(crt.read_bytes())
    described = yaml.safe_load((host / "deployment.yml").read_text())
    described["label_studio"]["public_url"] = "https://label.example.com"
    with shown(crt, key) as address:
        (host / "deployment.yml").write_text(yaml.safe_dump({**described, "tls": {"address": address}}))
        told = values(run(host, "metrics"))
    for name in ("label-studio", "label-studio-ca"):
        begin = told["samstudio_certificate_begin_timestamp_seconds", name]
        assert told["samstudio_certificate_end_timestamp_seconds", name] - begin == 10 * DAY
        assert begin == pytest.approx(time.time(), abs=600)
    gone = run(host, "metrics")
    assert values(gone)["samstudio_certificate_end_timestamp_seconds", "label-studio"] == 0
    assert any(address in sentence for sentence in gone["wrong"])


def test_what_is_no_certificate_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.crt").write_text("nothing")
    with pytest.raises(SamstudioError, match=r"x\.crt cannot be understood"):
        certificates.in_file(tmp_path / "x.crt")
