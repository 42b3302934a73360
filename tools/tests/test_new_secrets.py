"""Label Studio's administrator gets another password: by rotation, and where secrets were lost and made anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from samstudio import deployment
from samstudio.labelstudio.session import sign_in
from samstudio.rotation import inside
from samstudio.rotation.label_studio import copy_of
from samstudio.secret_store import ADMIN_PASSWORD, SecretStore

from tools.tests import label_studio
from tools.tests.commands import fails, run

pytestmark = pytest.mark.integration


def test_the_administrators_password_is_replaced(
    tmp_path: Path, label_studio_cache: Path, describe: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with label_studio.running(tmp_path / "studio", label_studio_cache) as server:
        folder = describe(server, "http://127.0.0.1:9")
        store, copy = SecretStore(folder / "secrets"), copy_of(deployment.load(folder), ADMIN_PASSWORD)
        copy.parent.mkdir()
        copy.write_text(f"{server.password}\n")
        copy.chmod(0o400)
        # launch.sh in small; a container has its environment.
        launch = f'LABEL_STUDIO_PASSWORD=$(cat "$0"); export LABEL_STUDIO_PASSWORD; exec {label_studio.python()} -'
        monkeypatch.setenv("LABEL_STUDIO_BASE_DATA_DIR", str(server.folder / "data"))
        monkeypatch.setenv("LABEL_STUDIO_USERNAME", server.email)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setattr(inside, "command", lambda _: ["false"])
        assert "could not be given" in fails(folder, "secrets", "rotate", ADMIN_PASSWORD)["message"]
        assert (store.read(ADMIN_PASSWORD), store.unfinished()) == (server.password, [])
        assert copy.read_text() == f"{server.password}\n"

        monkeypatch.setattr(inside, "command", lambda _: ["sh", "-c", launch, str(copy)])
        done = run(folder, "secrets", "rotate", ADMIN_PASSWORD)
        new = store.read(ADMIN_PASSWORD)
        assert new != server.password
        assert new not in str(done)
        assert copy.read_text() == f"{new}\n"
        assert (store.unfinished(), copy.stat().st_mode & 0o777) == ([], 0o400)
        with sign_in(server.url, server.email, new) as session:
            assert session.get("/api/current-user/whoami").status_code == httpx.codes.OK
        # What role label_studio runs where secrets were lost: nothing more to do here.
        assert run(folder, "secrets", "apply") == {"changed": False}
