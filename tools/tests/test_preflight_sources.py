"""What a host takes software from: apt's sources, pip's indexes, proxies; the same before and after a run."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from samstudio.preflight import sources

from .preflight_host import told

DEBIAN = {"id": "debian", "codename": "bookworm"}
MAIN = """\
Types: deb deb-src
URIs: http://mirror.example.com/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
SECURITY = MAIN.replace("/debian/", "/debian-security").replace("bookworm bookworm-updates", "bookworm-security")
ONE_LINE = """\
# deb http://old.example.com/debian bookworm main
deb [arch=amd64 signed-by=/etc/apt/keyrings/php.gpg] https://php.example.com/php/ bookworm main
deb http://mirror.example.com/debian bookworm main
deb http://mirror.example.com/debian bookworm-updates main
deb http://security.example.com bookworm-security main
deb http://docker.example.com/linux/debian bookworm stable
deb http://flat.example.com/repository ./
"""
OTHERS = "deb https://a.example.com/php bookworm main\ndeb https://b.example.com/apt stable main\n"


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that apt, the real one, reads its sources from; lists were never fetched."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    places = {"Etc::sourcelist": "/dev/null", "Etc::sourceparts": parts, "State::Lists": tmp_path / "lists"}
    configuration = tmp_path / "apt.conf"
    configuration.write_text("".join(f'Dir::{key} "{value}";\n' for key, value in places.items()))
    monkeypatch.setenv("APT_CONFIG", str(configuration))
    return parts


def mirror(system: dict[str, str] = DEBIAN) -> dict[str, str]:
    return sources.debian_mirror(system, sources.apt_sources())


@pytest.mark.parametrize(
    ("files", "main", "security"),
    [
        pytest.param(
            {"debian.sources": f"{MAIN}\n{SECURITY}"},
            "http://mirror.example.com/debian",
            "http://mirror.example.com/debian-security",
            id="deb822",
        ),
        pytest.param(
            {"sources.list": ONE_LINE},
            "http://mirror.example.com/debian",
            "http://security.example.com",
            id="one-line, among other people's archives",
        ),
        pytest.param(
            {"debian.sources": MAIN, "off.sources": f"Enabled: no\n{SECURITY}"},
            "http://mirror.example.com/debian",
            "",
            id="an entry that is switched off",
        ),
        pytest.param(
            {"debian.sources": MAIN.replace("http://", "http://user:s3cret@")},
            "",
            "",
            id="a password must not get into an image",
        ),
        pytest.param({"local.list": "deb file:/srv/debian bookworm main"}, "", "", id="out of an image's reach"),
        pytest.param({}, "", "", id="none"),
    ],
)
def test_debian_mirror_is_read_from_sources_without_any_list(
    apt: Path, files: dict[str, str], main: str, security: str
) -> None:
    for name, text in files.items():
        (apt / name).with_suffix(".sources" if name.endswith(".sources") else ".list").write_text(text)
    assert mirror() == {"main": main, "security": security}


def test_the_first_update_changes_nothing(apt: Path, tmp_path: Path) -> None:
    (apt / "debian.sources").write_text(f"{MAIN}\n{SECURITY}")
    before = mirror()
    lists = tmp_path / "lists"
    (lists / "partial").mkdir(parents=True)
    release = "Origin: Debian\nLabel: Debian\nSuite: oldstable\nCodename: bookworm\nComponents: main\n"
    (lists / "mirror.example.com_debian_dists_bookworm_InRelease").write_text(release)
    (lists / "mirror.example.com_debian_dists_bookworm_main_binary-amd64_Packages").write_text("")
    assert (
        before
        == mirror()
        == {"main": "http://mirror.example.com/debian", "security": "http://mirror.example.com/debian-security"}
    )


def test_a_list_of_mirrors_counts_by_its_first(apt: Path, tmp_path: Path) -> None:
    (tmp_path / "mirrors").write_text("http://near.example.com/debian/\tpriority:1\nhttp://far.example.com/debian\n")
    (apt / "debian.sources").write_text(
        MAIN.replace("http://mirror.example.com/debian/", f"mirror+file:{tmp_path}/mirrors")
    )
    assert mirror()["main"] == "http://near.example.com/debian"


def test_ubuntus_mirrors_are_not_debians(apt: Path) -> None:
    (apt / "ubuntu.sources").write_text(MAIN.replace("/debian/", "/ubuntu").replace("bookworm", "noble"))
    (apt / "others.list").write_text(OTHERS)
    assert mirror({"id": "ubuntu", "codename": "noble"}) == {"main": "", "security": ""}


def test_a_repository_that_the_host_names_already_is_seen(apt: Path) -> None:
    (apt / "docker.list").write_text(
        "deb [signed-by=/etc/old.gpg] https://docker.example.com/linux/debian/ bookworm stable\n"
    )
    assert {"address": "https://docker.example.com/linux/debian", "suite": "bookworm", "component": "stable"} in (
        sources.apt_sources()
    )


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"HTTPS_PROXY": "http://proxy.example.com:3128"}, {"https_proxy": "http://proxy.example.com:3128"}),
        ({"http_proxy": "http://a", "HTTP_PROXY": "http://b", "NO_PROXY": ""}, {"http_proxy": "http://a"}),
    ],
)
def test_proxies_have_lower_case_names(
    environment: dict[str, str], found: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in sources.PROXIES:
        monkeypatch.delenv(key, raising=False)
        monkeypatch.delenv(key.upper(), raising=False)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert sources.proxies({}) == found


def test_a_proxy_that_sudo_forgets_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in sources.PROXIES:
        monkeypatch.delenv(key, raising=False)
        monkeypatch.delenv(key.upper(), raising=False)
    file = tmp_path / "environment"
    monkeypatch.setattr(sources, "ENVIRONMENT_FILE", str(file))
    assert sources.proxies({"https_proxy": "http://typed.example.com:3128", "no_proxy": ""}) == {
        "https_proxy": "http://typed.example.com:3128"
    }
    file.write_text(
        'PATH="/bin"\nHTTP_PROXY=http://site.example.com:3128\nexport https_proxy="http://site.example.com:3128"\n# x\n'
    )
    site = "http://site.example.com:3128"
    assert sources.proxies({}) == {"http_proxy": site, "https_proxy": site}
    assert sources.proxies({"https_proxy": "http://typed.example.com:3128"})["https_proxy"] != site


def test_addresses_are_asked_through_the_proxy_that_was_given(guarded: str) -> None:
    """The proxy answers 500 for everybody; past it, the name could not be resolved."""
    proxies = {"http_proxy": f"http://{guarded}"}
    settings = {"os": DEBIAN, "urls": {"x": "http://no-such-host.invalid/"}, "timeout": 5.0, "proxies": proxies}
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    found = told(sources, settings, environment)
    assert found["unreachable"]["x"] == "HTTP 500"
    assert found["proxies"] == proxies


class Guarded(BaseHTTPRequestHandler):
    """Answers whoever knows the password, and nobody else."""

    expected = "Basic " + base64.b64encode(b"lab user:s3cret@home").decode()

    def do_HEAD(self) -> None:
        self.send_response(200 if self.headers["Authorization"] == self.expected else 500)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def guarded() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_index_with_a_password_is_asked_with_it(guarded: str) -> None:
    assert sources.reach(f"http://lab%20user:s3cret%40home@{guarded}/simple", 5) == ""
    assert sources.reach(f"http://{guarded}/simple", 5) == "HTTP 500"


def test_what_cannot_be_reached_says_why_and_no_password(tmp_path: Path) -> None:
    urls = {"closed": "http://user:s3cret@127.0.0.1:9/", "odd": "http://u:s3cret@x:y/", "none": ""}
    settings = {"os": DEBIAN, "urls": urls, "timeout": 2.0, "proxies": {}}
    found = told(sources, settings, {**os.environ, "NO_PROXY": "127.0.0.1"})
    assert "refused" in found["unreachable"]["closed"]
    assert found["unreachable"]["odd"]
    assert "none" not in found["unreachable"]
    assert "s3cret" not in json.dumps(found["unreachable"])
