"""A first-time user with nothing but the README, a Label Studio of their own and a backend: one command."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from samstudio import samples
from samstudio.labelstudio import connect, label_config, ml_backends, projects
from samstudio.labelstudio.prompts import prompt
from samstudio.labelstudio.session import sign_in
from samstudio.labelstudio.tokens import obtain
from samstudio.verification import decoded, interactive

from tools.tests import backend, label_studio

pytestmark = pytest.mark.integration

PROJECT = Path(__file__).parents[2]
STUDIO_HOST, BACKEND_HOST = "127.0.0.2", "127.0.0.3"
#: `./samstudio` makes its virtual environment when it is called for the first time.
SECONDS = 900


@dataclass
class User:
    """Somebody with a home of their own, in the folder into which they cloned the project."""

    folder: Path
    token: str = ""
    #: what stands for the README's placeholders
    have: dict[str, str] = field(default_factory=dict)

    def keep(self, name: str, secret: str) -> None:
        (self.folder / name).touch(mode=0o600)
        (self.folder / name).write_text(secret + "\n")

    def types(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line of the README, its placeholders filled in."""
        for placeholder, value in self.have.items():
            line = line.replace(placeholder, value)
        passed_on = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("PIP_")}
        environment = {**passed_on, "HOME": str(self.folder), "SAMSTUDIO_CONFIG_DIR": str(self.folder / "etc")}
        return subprocess.run(
            shlex.split(line), cwd=self.folder, env=environment, capture_output=True, text=True, timeout=SECONDS
        )


def readme(command: str) -> str:
    """The one line of the README's fenced blocks that starts with a command."""
    blocks = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", (PROJECT / "README.md").read_text())
    (line,) = [
        line for kind, block in blocks if not kind for line in str(block).splitlines() if line.startswith(command)
    ]
    return line


REGISTER = "./samstudio register"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> User:
    folder = tmp_path_factory.mktemp("home")
    (folder / "samstudio").symlink_to(PROJECT / "samstudio")
    return User(folder)


@pytest.fixture(scope="module")
def guard_settings(user: User) -> dict[str, str]:
    """What the README's other command prints: the settings for that Label Studio."""
    printed = user.types(f"./samstudio ssrf settings --address {BACKEND_HOST}")
    assert printed.returncode == 0, printed.stderr
    return dict(line.split("=", 1) for line in printed.stdout.splitlines())


def personal_access_token(studio: label_studio.RunningLabelStudio) -> str:
    """As a person makes one in Account & Settings."""
    with sign_in(studio.url, studio.email, studio.password) as session:
        return obtain(session)[0]


@pytest.fixture(scope="module")
def studio(
    tmp_path_factory: pytest.TempPathFactory, label_studio_cache: Path, guard_settings: dict[str, str], user: User
) -> Iterator[label_studio.RunningLabelStudio]:
    folder = tmp_path_factory.mktemp("theirs") / "studio"
    with label_studio.running(folder, label_studio_cache, host=STUDIO_HOST, settings=guard_settings) as running:
        user.token = personal_access_token(running)
        user.keep("token", user.token)
        user.have["LABEL-STUDIO:8080"] = running.url.removeprefix("http://")
        yield running


@pytest.fixture(scope="module")
def model(
    tmp_path_factory: pytest.TempPathFactory, studio: label_studio.RunningLabelStudio, user: User
) -> Iterator[str]:
    """The real backend, started as the README says; it shares no folder with Label Studio."""
    folder = tmp_path_factory.mktemp("backend")
    user.keep("password", backend.PASSWORD)
    with backend.running(folder, host=BACKEND_HOST, studio_url=studio.url, token_file=user.folder / "token") as url:
        user.have["BACKEND:9090"] = url.removeprefix("http://")
        yield url


@pytest.fixture
def another_server(user: User) -> Iterator[None]:
    with ThreadingHTTPServer((BACKEND_HOST, 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        user.have["ANOTHER:80"] = f"{BACKEND_HOST}:{server.server_port}"
        yield
        server.shutdown()


def test_one_command_leads_to_a_working_click(studio: label_studio.RunningLabelStudio, model: str, user: User) -> None:
    ran = user.types(readme(REGISTER))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "each mask is right" in ran.stdout
    assert user.token not in ran.stdout + ran.stderr
    assert backend.PASSWORD not in ran.stdout + ran.stderr

    with connect(studio.url, user.token) as connection:
        (project,) = projects.all_projects(connection)
        number = int(project.id or 0)
        (record,) = ml_backends.records(connection, number)
        config = label_config.parse(project.label_config or "")
        tasks = {samples.named_by(task["data"]["image"]): task["id"] for task in projects.tasks(connection, number)}
        scene = samples.SCENES[0]
        for shape in scene.shapes:
            context = {"result": prompt(config, shape.click, (samples.WIDTH, samples.HEIGHT))}
            answer = interactive(connection, int(record.id or 0), tasks[scene.file], context)
            drawn = samples.mask(shape)
            assert samples.iou(decoded(answer, drawn.shape), drawn) >= 0.8

    options = readme(REGISTER).removeprefix(REGISTER)
    warmed = user.types(f"./samstudio prewarm {number} {options}")
    assert warmed.returncode == 0, warmed.stderr
    assert "0 failed" in warmed.stdout
    examined = user.types(f"./samstudio doctor {options}")
    assert examined.returncode == 0, examined.stdout

    without_password, password = options.split("--password-file")
    assert password
    clicked = user.types(f"./samstudio click --project {number} {without_password}")
    assert clicked.returncode == 0, clicked.stderr
    assert "IoU min" in clicked.stdout

    again = user.types(readme(REGISTER).replace("http://", ""))
    assert again.returncode == 0, again.stderr
    assert "nothing to do" in again.stdout


#: mistake: (what the README says, what was typed instead), words of the answer
MISTAKES = {
    "a wrong password": ("file password", "file wrong", "refuses the basic auth", "--password-file"),
    "no password file": ("file password", "file absent", "install -m 0600", "BASIC_AUTH_PASS"),
    "a wrong user": ("register", "register --backend-user nobody", "refuses the basic auth", "--backend-user"),
    "no token file": (" --token-file token", "", "Account & Settings", "--token-file token"),
    "a wrong token": ("file token", "file wrong", "does not accept the legacy token", "Account & Settings"),
    "a wrong port": ("BACKEND:9090", f"{BACKEND_HOST}:1", "Nothing listens on 127.0.0.3:1", "start the backend"),
    "https": ("http://BACKEND", "https://BACKEND", "plain http answers", "there: ./samstudio register"),
    "a name nobody knows": ("BACKEND:9090", "sam2.invalid:9090", "cannot resolve", "ADDRESS"),
    "a name without a dot": ("BACKEND:9090", "sam2:9090", "has no dot", "use its address"),
    "Label Studio down": ("LABEL-STUDIO:8080", f"{STUDIO_HOST}:1", "does not answer", "label-studio start"),
    "another server": ("BACKEND:9090", "ANOTHER:80", "it is no ML backend", "ss -ltnp"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_what_mends_it(
    mistake: str, studio: label_studio.RunningLabelStudio, model: str, another_server: None, user: User
) -> None:
    right, wrong, *said = MISTAKES[mistake]
    user.keep("wrong", 40 * "d")
    line = readme(REGISTER)
    assert right in line
    ran = user.types(line.replace(right, wrong))
    assert ran.returncode == 1, ran.stdout
    for words in said:
        assert words in ran.stderr, ran.stderr


def test_a_guard_that_was_not_told_is_named_with_what_to_set(
    tmp_path: Path, label_studio_cache: Path, model: str, user: User
) -> None:
    with label_studio.running(
        tmp_path / "studio", label_studio_cache, host=STUDIO_HOST, settings=label_studio.GUARDED
    ) as guarded:
        user.keep("guarded", personal_access_token(guarded))
        line = readme(REGISTER).replace("http://LABEL-STUDIO:8080", guarded.url).replace("file token", "file guarded")
        ran = user.types(line)
        assert ran.returncode == 1, ran.stdout
        assert f"./samstudio ssrf settings --address {BACKEND_HOST}" in ran.stderr
        assert "127.0.0.0/8" in ran.stderr


def test_a_backend_without_a_token_for_the_images_is_named(
    studio: label_studio.RunningLabelStudio, model: str, user: User, tmp_path: Path
) -> None:
    user.keep("password", backend.PASSWORD)
    with backend.running(tmp_path / "backend", host=BACKEND_HOST) as url:
        line = readme(REGISTER).replace("http://BACKEND:9090", url) + " --title Tokenless"
        ran = user.types(line)
    assert ran.returncode == 1, ran.stdout
    assert "LABEL_STUDIO_API_KEY" in ran.stderr
