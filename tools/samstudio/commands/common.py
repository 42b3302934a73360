"""Options that several commands share, and the deployment with those options applied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from samstudio import addresses, backend_client, balancer
from samstudio import deployment as deployments
from samstudio.connected import Connected
from samstudio.deployment import Deployment
from samstudio.errors import NothingToLookAt, SamstudioError, WrongCommandLine
from samstudio.labelstudio import LabelStudio, connect
from samstudio.output import say
from samstudio.secret_store import API_TOKEN, BACKEND_PASSWORD, SecretStore
from samstudio.verbs import remember_json

AsJson = Annotated[
    bool,
    typer.Option("--json", callback=remember_json, help="Print one JSON object, as docs/command-line.md shows it."),
]
Check = Annotated[bool, typer.Option("--check", help="Change nothing; say whether something would change.")]
LabelStudioUrl = Annotated[
    str, typer.Option("--label-studio-url", metavar="URL", help="Label Studio's address. Default: deployment.yml.")
]
BackendUrl = Annotated[
    str, typer.Option("--backend-url", metavar="URL", help="The backend as Label Studio reaches it.")
]
ProjectNumber = Annotated[int, typer.Argument(metavar="PROJECT", help="The project's id.")]
ReachedBackendUrl = Annotated[
    str,
    typer.Option(
        "--backend-url", metavar="URL", help="The backend as this machine reaches it. Default: deployment.yml."
    ),
]
ProjectId = Annotated[
    int | None, typer.Option("--project", metavar="ID", help="A project's id. Default: the quick start's project.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        help="A 0600 file with the API token. Default: $LABEL_STUDIO_API_KEY, or the secret.",
    ),
]
BackendUser = Annotated[
    str, typer.Option("--backend-user", metavar="NAME", help="The backend's basic auth user. Default: deployment.yml.")
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        metavar="FILE",
        help="A 0600 file with the backend's basic auth password. Default: $BASIC_AUTH_PASS, or the secret.",
    ),
]

#: How a person gets a secret into a file, without it being seen by others or kept by a shell.
HINTS = {
    API_TOKEN: "copy a personal access token (Label Studio, Account & Settings) and paste it into: "
    "install -m 0600 /dev/stdin token   # Ctrl-D ends; then add --token-file token",
    BACKEND_PASSWORD: "paste the BASIC_AUTH_PASS that the backend was started with into: "
    "install -m 0600 /dev/stdin password   # Ctrl-D ends; then add --password-file password",
}

CALLED = {API_TOKEN: "Label Studio's API token", BACKEND_PASSWORD: "The backend's password"}


def deployment_of(
    *,
    label_studio_url: str = "",
    backend_url: str = "",
    backend_user: str = "",
    title: str = "",
) -> Deployment:
    """The host's deployment, with what the options say in its place.

    Raises:
        SamstudioError: `deployment.yml` or a URL cannot be used.
    """
    found = deployments.load()
    if label_studio_url:
        url = mended(label_studio_url, "--label-studio-url", 8080)
        own = found.described and url == found.label_studio.url
        found = replace(found, label_studio=replace(found.label_studio, url=url), described=own)
    if backend_url:
        url = mended(backend_url, "--backend-url", 9090)
        found = replace(found, backend=replace(found.backend, internal_url=url))
    if backend_user:
        found = replace(found, backend=replace(found.backend, basic_auth_user=backend_user))
    if title:
        found = replace(found, project=replace(found.project, title=title))
    return found


def deployment_here(*, expected: str, command: str) -> Deployment:
    """The deployment of this very host.

    Raises:
        NothingToLookAt: there is none; `expected` and `command` say where else to look.
        SamstudioError: `deployment.yml` cannot be used.
    """
    found = deployments.load()
    if not found.described:
        raise NothingToLookAt(
            "Nothing is deployed on this host.",
            found=f"no deployment.yml in {found.config_dir}",
            expected=expected,
            command=command,
        )
    return found


def mended(text: str, option: str, port: int) -> str:
    """A URL as it was meant; a path is part of it. What was added is said.

    Raises:
        WrongCommandLine: it is none.
    """
    try:
        address = addresses.normalise(text, default_port=port, keep_path=True)
        if not addresses.SCHEME.match(text.strip()):
            say(f"{option} {text}: http:// is missing; taken as {address.url}")
        return address.url
    except ValueError as error:
        raise WrongCommandLine(
            f"{option} is no usable URL.",
            found=str(error),
            expected="http://HOST:PORT",
            command=f"{option} http://HOST:{port}",
        ) from error


def studio(found: Deployment, token_file: Path | None = None) -> LabelStudio:
    return connect(found.label_studio.url, api_token(found, token_file))


@contextmanager
def connected(
    found: Deployment, backend_url: str, token_file: Path | None, password_file: Path | None
) -> Iterator[Connected]:
    """Args: backend_url: of a backend as this machine reaches it, in place of the deployment's, "" for that."""
    url = mended(backend_url, "--backend-url", 9090) if backend_url else found.backend.url
    user, password = found.backend.basic_auth_user, backend_password(found, password_file)
    with ExitStack() as stack:
        opened = stack.enter_context(studio(found, token_file))
        backend = stack.enter_context(backend_client.connect(url, user, password))
        servers = [] if backend_url else [each for each in balancer.of(found) if each.up]
        fleet = [
            stack.enter_context(backend_client.connect(f"http://{server.address}", user, password))
            for server in servers
        ]
        yield Connected(opened, backend, tuple(fleet), password)


def api_token(found: Deployment, token_file: Path | None = None) -> str:
    return _secret(found, API_TOKEN, "LABEL_STUDIO_API_KEY", token_file)


def backend_password(found: Deployment, password_file: Path | None = None) -> str:
    return _secret(found, BACKEND_PASSWORD, "BASIC_AUTH_PASS", password_file)


def _secret(found: Deployment, name: str, variable: str, file: Path | None) -> str:
    """A secret from the file an option names, else the environment, else the deployment's store."""
    if file is not None and not file.exists():
        raise _missing(name, f"no file {file}")
    if file is not None:
        return SecretStore(file.parent).read(file.name)
    if os.environ.get(variable):
        return os.environ[variable]
    store = SecretStore(found.secrets_dir)
    if not found.described and not store.exists(name):
        raise _missing(name, f"no file given, no {variable} in the environment")
    return store.read(name)


def _missing(name: str, seen: str) -> SamstudioError:
    return SamstudioError(
        f"{CALLED[name]} is missing.", found=seen, expected="a file of mode 0600", command=HINTS[name]
    )
