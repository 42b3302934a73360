from __future__ import annotations

import contextlib
import secrets
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from samstudio import secret_store
from samstudio.errors import SamstudioError
from samstudio.secret_store import GENERATED, SecretStore


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    return SecretStore(tmp_path / "etc" / "secrets")


def test_missing_secrets_are_made_once_and_kept(store: SecretStore) -> None:
    assert store.ensure(check=True) == list(GENERATED)
    assert not store.folder.exists()
    assert store.ensure() == list(GENERATED)
    values = {name: store.read(name) for name in GENERATED}
    assert len(set(values.values())) == len(GENERATED)
    assert min(map(len, values.values())) >= 32
    assert store.ensure() == []
    assert {name: store.read(name) for name in GENERATED} == values


def test_two_at_once_make_one_set(store: SecretStore, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    def slowly() -> str:
        """Gives the other one time to generate the same secret, if it may."""
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(timeout=2)
        return secrets.token_urlsafe(24)

    monkeypatch.setattr(secret_store, "GENERATED", dict.fromkeys(GENERATED, slowly))
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda _: store.ensure(), range(2)))
    assert sorted(made, key=len) == [[], list(GENERATED)]


def test_only_the_owner_reads_them(store: SecretStore) -> None:
    store.ensure()
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in store.folder.iterdir()} == {0o600}


def test_a_lost_one_is_made_again_and_the_others_stay(store: SecretStore) -> None:
    store.ensure()
    kept = store.read("postgres_password")
    store.path("label_studio_secret_key").unlink()
    assert store.ensure() == ["label_studio_secret_key"]
    assert store.read("postgres_password") == kept


def test_an_open_file_is_refused_with_the_fix(store: SecretStore) -> None:
    store.ensure()
    path = store.path("postgres_password")
    path.chmod(0o644)
    with pytest.raises(SamstudioError, match="open to others") as raised:
        store.ensure()
    assert f"chmod 0600 {path}" in raised.value.command


def test_an_open_folder_is_refused(store: SecretStore) -> None:
    store.ensure()
    store.folder.chmod(0o755)
    with pytest.raises(SamstudioError, match="open to others"):
        store.ensure()


def test_an_empty_one_is_refused_and_nothing_is_written(store: SecretStore) -> None:
    store.ensure()
    store.path("label_studio_secret_key").write_text("\n")
    store.path("postgres_password").unlink()
    with pytest.raises(SamstudioError, match="empty"):
        store.ensure()
    assert not store.exists("postgres_password")


def test_a_write_leaves_no_temporary_file(store: SecretStore) -> None:
    store.write("x", "one")
    store.write("x", "two")
    assert [path.name for path in store.folder.iterdir()] == ["x"]
    assert store.read("x") == "two"
