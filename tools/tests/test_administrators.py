"""Further administrators get accounts with passwords of their own, in a real Label Studio."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from samstudio.errors import SamstudioError
from samstudio.labelstudio.session import sign_in
from samstudio.secret_store import SecretStore, administrators_password

from tools.tests import label_studio
from tools.tests.commands import invoke, run
from tools.tests.label_studio import RunningLabelStudio

pytestmark = pytest.mark.integration


#: in place of the engine: it notes what it is asked, and Label Studio's own Python does it here
DOCKER = """#!/bin/sh
printf '%s\\n' "$*" >> {folder}/argv
while [ "$1" != python3 ]; do shift; done
shift
exec env LABEL_STUDIO_BASE_DATA_DIR={data} HOME={folder} {python} "$@"
"""
ADA = "ada@lab.example"


@pytest.fixture
def deployed(
    server: RunningLabelStudio, describe: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    (tmp_path / "docker").write_text(
        DOCKER.format(folder=tmp_path, data=server.folder / "data", python=label_studio.python())
    )
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return describe(server, "http://127.0.0.1:9")


def test_further_administrators_get_accounts_that_are_theirs(
    deployed: Path, server: RunningLabelStudio, tmp_path: Path
) -> None:
    """One has no account yet, the other one has: without rights, and with a password that stays."""
    with sqlite3.connect(server.folder / "data" / "label_studio.sqlite3", timeout=20) as database:
        database.execute("UPDATE htx_user SET is_staff = 0, is_superuser = 0")
    store, name = SecretStore(deployed / "secrets"), administrators_password(ADA)
    ensure = ["administrators", "ensure", ADA, server.email]
    checked = run(deployed, *ensure, "--check")
    assert checked == {"changed": True, "made": [ADA], "promoted": [server.email]}
    assert not store.exists(name)
    with pytest.raises(SamstudioError):
        sign_in_as_administrator(server, ADA, "any")
    assert run(deployed, *ensure) == checked
    assert not store.exists(administrators_password(server.email))
    assert store.path(name).stat().st_mode & 0o777 == 0o600
    assert name in {each["name"] for each in run(deployed, "secrets", "list")["secrets"]}
    password = run(deployed, "secrets", "show", name)["value"]
    assert password not in (tmp_path / "argv").read_text() + server.log
    sign_in_as_administrator(server, ADA, password)
    sign_in_as_administrator(server, server.email, server.password)
    assert run(deployed, *ensure) == {"changed": False, "made": [], "promoted": []}
    assert store.read(name) == password


def sign_in_as_administrator(server: RunningLabelStudio, email: str, password: str) -> None:
    with sign_in(server.url, email, password) as session:
        assert session.get("/api/current-user/whoami").json()["email"] == email
        assert session.get("/admin/").status_code == httpx.codes.OK


def test_no_address_and_no_label_studio_are_told(deployed: Path, tmp_path: Path) -> None:
    code, answer = invoke(deployed, "administrators", "ensure", "Ada@lab.example")
    assert (code, answer["error"]["found"]) == (2, "Ada@lab.example")
    (tmp_path / "docker").write_text("#!/bin/sh\necho 'No such container: label-studio' >&2; exit 1\n")
    code, answer = invoke(deployed, "administrators", "ensure", ADA)
    assert (code, answer["error"]["found"]) == (1, "No such container: label-studio")
    assert not SecretStore(deployed / "secrets").exists(administrators_password(ADA))
