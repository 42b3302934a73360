from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import settings
from samstudio import playbooks, ssrf
from samstudio.secret_store import BACKEND_PASSWORD, SecretStore

from tools.tests import backend as real_backend
from tools.tests import label_studio, servers, stand_in_backend
from tools.tests.commands import run
from tools.tests.userland import engine as engine
from tools.tests.userland import image as image

TOOLS = Path(__file__).parents[1]

# how long an example takes is the machine's business
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "integration: needs a real Label Studio (SAMSTUDIO_TEST_LABEL_STUDIO)")
    config.addinivalue_line("markers", "browser: needs Chromium as well")
    # label-studio-sdk 2.1.2 exchanges each token with it
    config.addinivalue_line("filterwarnings", "ignore:The `parse_obj` method is deprecated:DeprecationWarning")


@pytest.fixture(scope="session")
def label_studio_cache(pytestconfig: pytest.Config) -> Path:
    cache = pytestconfig.cache
    assert cache is not None
    return Path(cache.mkdir("label-studio"))


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, label_studio_cache: Path
) -> Iterator[label_studio.RunningLabelStudio]:
    """A Label Studio whose guard lets it reach 127.0.0.1, where the stand-in backend listens, and nothing else."""
    settings = ssrf.narrow_environment(ssrf.KNOWN, ["127.0.0.1"])
    with label_studio.running(
        tmp_path_factory.mktemp("ls") / "studio", label_studio_cache, settings=settings
    ) as studio:
        yield studio


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory, server: label_studio.RunningLabelStudio
) -> Iterator[real_backend.Model]:
    """The real backend with the demo model, beside that Label Studio."""
    running = real_backend.Model(tmp_path_factory.mktemp("backend"), server)
    yield running
    servers.stop(running.process, seconds=30)


@pytest.fixture
def deployed(server: label_studio.RunningLabelStudio, model: real_backend.Model, describe: Callable[..., Path]) -> Path:
    """The configuration folder of these two, with a token."""
    folder = describe(server, model.url)
    SecretStore(folder / "secrets").write(BACKEND_PASSWORD, real_backend.PASSWORD)
    run(folder, "token", "ensure")
    return folder


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is read from the state of whoever runs the tests, or left there."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "samstudio"


@pytest.fixture
def backend() -> Iterator[stand_in_backend.StandIn]:
    with stand_in_backend.running() as running:
        yield running


@pytest.fixture
def describe(tmp_path: Path) -> Callable[..., Path]:
    """Writes a configuration folder for a Label Studio and a backend, with their secrets; gives the folder."""

    def write(server: label_studio.RunningLabelStudio, backend_url: str, title: str = "SAM2 quick start") -> Path:
        folder = tmp_path / "etc"
        secrets = folder / "secrets"
        secrets.mkdir(parents=True, mode=0o700, exist_ok=True)
        values = {
            "label_studio_admin_password": server.password,
            "backend_basic_auth_password": stand_in_backend.PASSWORD,
        }
        for name, value in values.items():
            (secrets / name).touch(mode=0o600)
            (secrets / name).write_text(value + "\n")
        described = {
            "label_studio": {"version": server.version, "url": server.url, "admin_email": server.email},
            "backend": {
                "url": backend_url,
                "internal_url": backend_url,
                "address": "127.0.0.1",
                "basic_auth_user": stand_in_backend.USER,
            },
            "project": {"title": title},
            "images": {"host_root": str(server.images), "container_root": str(server.images)},
        }
        (folder / "deployment.yml").write_text(yaml.safe_dump(described))
        return folder

    return write


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose playbooks only say which they are."""
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "inventory").mkdir()
    python = f"ansible_python_interpreter={sys.executable}"
    (tmp_path / "inventory" / "local").write_text(f"localhost ansible_connection=local {python}\n")
    for path in playbooks.PLAYBOOKS.values():
        task = {"name": "Say it", "ansible.builtin.debug": {"msg": f"this is {path} {{{{ extra | default('') }}}}"}}
        play = [{"name": path, "hosts": "all", "gather_facts": False, "tasks": [task]}]
        (tmp_path / path).write_text(json.dumps(play))
    (tmp_path / "tools").symlink_to(TOOLS)
    monkeypatch.setenv(playbooks.HOME_VARIABLE, str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return tmp_path
