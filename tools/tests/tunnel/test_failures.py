"""Every documented failure becomes one sentence and a fix; the token is in none of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from samstudio.tunnel.agent import Agent
from samstudio.tunnel.authtoken import VARIABLE, take_authtoken
from samstudio.tunnel.basic_auth import require_basic_auth
from samstudio.tunnel.failures import FAILURES, TunnelError

from .conftest import AUTHTOKEN, PASSWORD, USER, StartBackend

UPSTREAM = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("trouble", "failure"),
    [
        ("ERR_NGROK_4018", "tunnel-4018"),
        ("ERR_NGROK_105", "tunnel-105"),
        ("ERR_NGROK_107", "tunnel-107"),
        ("ERR_NGROK_108", "tunnel-108"),
        ("ERR_NGROK_300", "tunnel-300"),
        ("ERR_NGROK_334", "tunnel-334"),
        ("ERR_NGROK_360", "tunnel-360"),
        ("ERR_NGROK_324", "tunnel-324"),
        ("no-network", "tunnel-no-network"),
        ("tls-inspected", "tunnel-tls-inspected"),
        ("silent", "tunnel-agent-silent"),
    ],
)
def test_what_ngrok_says_is_explained(
    trouble: str,
    failure: str,
    stand_in_agent: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("STAND_IN_AGENT", trouble)
    heard: list[str] = []
    patience = 1 if trouble == "silent" else 10
    with (
        Agent(stand_in_agent, AUTHTOKEN, heard=heard.append, startup_seconds=patience) as agent,
        pytest.raises(TunnelError) as told,
    ):
        agent.open(UPSTREAM)
    assert told.value.failure.id == failure
    assert told.value.command
    everything = "".join([*heard, str(told.value), *capfd.readouterr(), caplog.text])
    assert AUTHTOKEN not in everything


def test_a_missing_agent_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(TunnelError) as told:
        Agent(str(tmp_path / "ngrok"), AUTHTOKEN, heard=print)
    assert told.value.failure.id == "tunnel-agent-missing"
    assert "install-agent" in told.value.command


def test_a_backend_without_basic_auth_is_refused(start_backend: StartBackend) -> None:
    with pytest.raises(TunnelError) as told:
        require_basic_auth(start_backend(auth=False), USER, PASSWORD)
    assert told.value.failure.id == "tunnel-backend-without-auth"


def test_a_backend_that_refuses_the_password_is_told_apart(start_backend: StartBackend) -> None:
    with pytest.raises(TunnelError) as told:
        require_basic_auth(start_backend(), USER, "another password")
    assert told.value.failure.id == "tunnel-backend-password"


def test_a_guarded_backend_passes(start_backend: StartBackend) -> None:
    require_basic_auth(start_backend(), USER, PASSWORD)


def test_https_to_a_plain_http_backend_names_the_url_that_works(start_backend: StartBackend) -> None:
    plain = start_backend()
    with pytest.raises(TunnelError) as told:
        require_basic_auth(plain.replace("http://", "https://"), USER, PASSWORD)
    assert told.value.failure.id == "tunnel-https-upstream"
    assert plain in told.value.command


def test_a_backend_that_is_down_is_named() -> None:
    with pytest.raises(TunnelError) as told:
        require_basic_auth("http://127.0.0.1:9", USER, PASSWORD)
    assert told.value.failure.id == "tunnel-backend-down"
    assert "refused" in told.value.message


def test_the_environments_token_wins_and_is_taken_out_of_it(tmp_path: Path) -> None:
    environ = {VARIABLE: AUTHTOKEN}
    assert take_authtoken(tmp_path / "absent", environ) == AUTHTOKEN
    assert environ == {}


@pytest.mark.parametrize(
    ("content", "mode", "failure"),
    [
        (None, 0, "tunnel-no-authtoken"),
        ("", 0o600, "tunnel-no-authtoken"),
        (AUTHTOKEN, 0o644, "tunnel-authtoken-readable"),
    ],
)
def test_a_token_file_that_does_not_do(tmp_path: Path, content: str | None, mode: int, failure: str) -> None:
    file = tmp_path / "ngrok_authtoken"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(TunnelError) as told:
        take_authtoken(file, {})
    assert told.value.failure.id == failure


def test_every_failure_has_its_own_words() -> None:
    """A row whose words an earlier row already recognises would never be told."""
    for position, failure in enumerate(FAILURES[:-1]):
        for text in failure.texts:
            first = next(other for other in FAILURES if other.recognises(text.replace("…", "1")))
            assert FAILURES.index(first) == position, (text, first.id, failure.id)
