"""`samstudio status`: one look at a deployment. What does not answer is shown as that; looking never fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import samstudio
from samstudio import backend_client, balancer, base_image, certificate, exports, lock
from samstudio.backup import history, journal
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.labelstudio import LabelStudio, api_errors, label_studio_client, ml_backends, projects
from samstudio.secret_store import ADMIN_PASSWORD, SecretStore


def collect(
    deployment: Deployment,
    connect: Callable[[], LabelStudio],
    backend_password: Callable[[], str],
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Ask Label Studio and the backend.

    Args:
        say: told whose answer is waited for.

    Returns:
        `changed` (False), `healthy`, `samstudio`, `label_studio`, `backend`, `backends` (those of a fleet), `projects`,
        `base_image` (None where no engine tells), `certificate` (None without a TLS proxy), `sign_in`,
        `unfinished_restore` (a sentence, or ""), `unfinished_rotation` (names of secrets), `kept` (the Label Studio
        that `rollback` brings back, or ""), `backups`, `exports` (`files`, `bytes`); a part that could not be read
        holds `error` instead, in the shape of a command's error. Without a connected project nothing is healthy.
    """
    say(f"asking Label Studio at {deployment.label_studio.url} for its version")
    label_studio = _part(lambda: _label_studio(deployment))
    connected = _part(lambda: {"connected": _projects(connect, deployment, say)})
    say(f"asking the backend at {deployment.backend.url} how it is")
    served = _part(lambda: _backend(deployment, backend_password))
    behind = _part(lambda: {"servers": [asdict(server) for server in balancer.of(deployment)]})
    unfinished, backups = unfinished_restore(deployment), history.report(deployment)
    shown = _certificate(deployment)
    return {
        "changed": False,
        "healthy": not unfinished
        and not backups["wrong"]
        and not (shown and shown["wrong"])
        and not any("error" in part for part in (label_studio, connected, served, behind))
        and served["state"] == "ready"
        and all(server["state"].startswith("UP") for server in behind["servers"])
        and bool(connected["connected"])
        and all(project["state"] == ml_backends.CONNECTED for project in connected["connected"]),
        "samstudio": samstudio.__version__,
        "label_studio": label_studio,
        "backend": served,
        "backends": behind,
        "projects": connected,
        "base_image": _base_image(deployment),
        "certificate": shown,
        "sign_in": _sign_in(deployment),
        "unfinished_restore": unfinished,
        "unfinished_rotation": SecretStore(deployment.secrets_dir).unfinished(),
        "kept": kept(deployment),
        "backups": backups,
        "exports": _part(lambda: exports.kept(deployment.label_studio.data)),
    }


def unfinished_restore(deployment: Deployment) -> str:
    """What is to be said of a restore that runs or was cut off; "" without any."""
    try:
        said = journal.sentence(deployment.config_dir)
        running = lock.holder(deployment.config_dir) if said else ""
        return f"under way: {running}" if running else said
    except SamstudioError as error:
        return f"{error.message} {error.found}"


def kept(deployment: Deployment) -> str:
    """Which Label Studio an upgrade has kept; "" without any."""
    try:
        found = journal.read(deployment.config_dir, journal.KEPT)
    except SamstudioError as error:
        return f"{error.message} {error.found}"
    return f"Label Studio {found.older.version} of {found.began}" if found and found.older else ""


def _base_image(deployment: Deployment) -> dict[str, Any] | None:
    """How old the Debian is that our containers are built on; None where no engine tells."""
    try:
        found = base_image.oldest(base_image.containers_of(deployment))
    except SamstudioError:
        return None
    return {"container": found.container, "built": found.built.isoformat(), "days": found.age.days} if found else None


def _certificate(deployment: Deployment) -> dict[str, Any] | None:
    """The certificate that browsers are shown; None where there is no TLS proxy."""
    tls = deployment.tls
    if not tls.domain:
        return None
    about: dict[str, Any] = {"kind": tls.kind, "domain": tls.domain, "issuer": "", "ends": "", "days_left": None}
    try:
        found = certificate.served(tls)
    except (OSError, ValueError) as error:
        return {**about, "wrong": f"none is served at {tls.address}:{tls.port}: {error}"}
    return {
        **about,
        "issuer": found.issuer,
        "ends": found.ends,
        "days_left": round(found.left, 1),
        "wrong": found.wrong,
    }


def _sign_in(deployment: Deployment) -> dict[str, str]:
    """Where a person opens Label Studio, as whom, and where the password is."""
    return {
        "url": deployment.label_studio.public_url or deployment.label_studio.url,
        "email": deployment.label_studio.admin_email,
        "password_file": str(deployment.secrets_dir / ADMIN_PASSWORD),
    }


def _part(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except SamstudioError as error:
        return {"error": error.fields()}


def _label_studio(deployment: Deployment) -> dict[str, Any]:
    url = deployment.label_studio.url
    with label_studio_client(url, timeout=10.0) as client, api_errors("reach Label Studio"):
        health = client.get("/health/").raise_for_status().json()["status"]
        version = client.get("/api/version").raise_for_status().json()["release"]
    return {"url": url, "internal_url": deployment.label_studio.internal_url, "version": version, "health": health}


def _projects(
    connect: Callable[[], LabelStudio], deployment: Deployment, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    found = []
    with connect() as studio:
        say("asking Label Studio for its projects")
        for project in projects.all_projects(studio):
            say(f"asking Label Studio whether project {project.id} reaches its backend")
            for record in ml_backends.records(studio, int(project.id or 0)):
                if ml_backends.same_place(record.url, deployment.backend.internal_url):
                    found.append(
                        {
                            "id": project.id,
                            "title": project.title,
                            "url": f"{studio.url}/projects/{project.id}/data",
                            "state": str(record.state),
                            "interactive": record.is_interactive,
                            "error": record.error_message,
                        }
                    )
    return found


def _backend(deployment: Deployment, password: Callable[[], str]) -> dict[str, Any]:
    settings = deployment.backend
    with backend_client.connect(settings.url, settings.basic_auth_user, password()) as connection:
        return {"url": settings.url, "internal_url": settings.internal_url, **connection.status()}
