"""Label Studio 1.22 with annotations becomes this project's version, and comes back.

It runs where SAMSTUDIO_TEST_LABEL_STUDIO_OLD names a virtual environment with the older one (CONTRIBUTING.md).
"""

from __future__ import annotations

import os
from pathlib import Path

import docker
import pytest
from samstudio import deployment
from samstudio.backup import sqlite
from samstudio.labelstudio import connect
from samstudio.secret_store import API_TOKEN

from tools.tests import deployed, label_studio
from tools.tests.commands import run
from tools.tests.test_backup import annotate, prepare

OLD = os.environ.get("SAMSTUDIO_TEST_LABEL_STUDIO_OLD", "")
pytestmark = [pytest.mark.integration, pytest.mark.skipif(not OLD, reason="no SAMSTUDIO_TEST_LABEL_STUDIO_OLD")]


def version(host: deployed.Host) -> str:
    with connect(host.url, host.secrets.read(API_TOKEN)) as studio:
        return str(studio.http.get("/api/version").raise_for_status().json()["release"])


def test_an_older_label_studio_is_upgraded_and_comes_back(
    tmp_path: Path, label_studio_cache: Path, engine: docker.DockerClient, image: str
) -> None:
    old, new = (label_studio.installed(path)[0] for path in (Path(OLD), label_studio.venv()))
    assert old < new
    with deployed.full(tmp_path / "host", label_studio_cache, engine, image, Path(OLD)) as host:
        run(host.config, "token", "ensure")
        with connect(host.url, host.secrets.read(API_TOKEN)) as studio:
            tasks = prepare(studio, tmp_path / "images")
            for task in tasks:
                annotate(studio, task, "before \u2603 it")
        before = sqlite.look(host.data / sqlite.NAME)
        assert before.annotations == len(tasks)

        assert run(host.config, "exchange", "begin")["version"] == old
        role = Path(__file__).parents[2] / "roles" / "label_studio" / "files" / "label-studio"
        serve, mounts = deployed.serving(label_studio.venv(), "label_studio_ready:application")
        host.make([*serve, "--preload"], {**mounts, str(role): str(role)}, {"PYTHONPATH": str(role)}).start()
        assert str(before) in run(host.config, "exchange", "prove")["said"]
        assert version(host) == new
        assert sqlite.look(host.data / sqlite.NAME) == before
        with connect(host.url, host.secrets.read(API_TOKEN)) as studio:
            annotate(studio, tasks[0], "after it")

        done = run(host.config, "rollback", "--yes")
        assert "1 annotations" in done["made"]
        assert version(host) == deployment.load(host.config).label_studio.version == old
        assert sqlite.look(host.data / sqlite.NAME) == before
        (kept,) = host.data.glob("*newer*")
        assert sqlite.look(kept).annotations == before.annotations + 1
