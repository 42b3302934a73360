"""Secrets that were lost are made anew, into data that outlived them: what the roles run, on the real things."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import httpx
import pytest
from samstudio.labelstudio.session import sign_in

from tools.tests import label_studio

ROLES = Path(__file__).parents[2] / "roles"
NEW = "it's another"
pytestmark = pytest.mark.integration


def test_the_administrator_gets_the_new_password_once(tmp_path: Path, label_studio_cache: Path) -> None:
    script = (ROLES / "label_studio" / "files" / "set_password.py").read_text()
    with label_studio.running(tmp_path / "studio", label_studio_cache) as server:

        def give() -> str:
            done = subprocess.run(
                [label_studio.python(), "-"],
                input=script,
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(tmp_path),
                    "LABEL_STUDIO_BASE_DATA_DIR": str(server.folder / "data"),
                    "LABEL_STUDIO_USERNAME": server.email,
                    "LABEL_STUDIO_PASSWORD": NEW,
                },
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert "changed" in give().splitlines()
        assert "changed" not in give().splitlines()
        with sign_in(server.url, server.email, NEW) as session:
            assert session.get("/api/current-user/whoami").status_code == httpx.codes.OK
