"""A real Label Studio is told the tunnel's address, reaches the backend through it, and is told a new one."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from samstudio import labeling_configs
from samstudio.labelstudio import connect, ml_backends, projects
from samstudio.labelstudio.own_records import OwnRecords
from samstudio.labelstudio.session import sign_in
from samstudio.labelstudio.tokens import obtain
from samstudio.tunnel.agent import Agent
from samstudio.tunnel.announce import registering
from samstudio.tunnel.keeper import Keeper

from tools.tests.label_studio import RunningLabelStudio
from tools.tests.stand_in_backend import PASSWORD, USER, StandIn

from .conftest import AUTHTOKEN, Seen
from .test_tunnel import wait_until

pytestmark = pytest.mark.integration


def test_label_studio_follows_the_tunnel(
    server: RunningLabelStudio,
    backend: StandIn,
    stand_in_agent: str,
    seen: Seen,
    tmp_path: Path,
) -> None:
    with sign_in(server.url, server.email, server.password) as session:
        token, _ = obtain(session)
    records = OwnRecords(tmp_path / "records.json")
    register = registering(server.url, token, USER, PASSWORD, only=(), title="Through a tunnel", records=records)
    said: list[str] = []
    with connect(server.url, token) as studio, Agent(stand_in_agent, AUTHTOKEN, heard=lambda line: None) as agent:
        watch = Keeper(agent, backend.url, state_file=tmp_path / "s.json", say=said.append, register=register)
        watch.open()
        project = projects.by_title(studio, "Through a tunnel")
        assert project is not None
        number = int(project.id or 0)
        assert (project.label_config or "").strip() == labeling_configs.read(labeling_configs.DEFAULT).strip()
        (record,) = ml_backends.records(studio, number)
        assert (record.url, record.state) == (agent.url(), ml_backends.CONNECTED)
        assert "POST /setup" in backend.behaviour.paths()

        os.kill(seen()["pid"], signal.SIGUSR1)
        wait_until(lambda: agent.url() not in (None, record.url))
        watch.look()
        (moved,) = ml_backends.records(studio, number)
        assert moved.id == record.id
        assert (moved.url, moved.state) == (agent.url(), ml_backends.CONNECTED)
        assert {hook.url for hook in studio.sdk.webhooks.list(project=str(number))} == {f"{moved.url}/webhook"}
    assert token not in " ".join(said)
