"""`samstudio status`: one look at a deployment. What does not answer is shown as that; looking never fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import samstudio
from samstudio import backend_client, balancer
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.labelstudio import LabelStudio, api_errors, http_client, ml_backends, projects


def collect(
    deployment: Deployment, connect: Callable[[], LabelStudio], backend_password: Callable[[], str]
) -> dict[str, Any]:
    """Ask Label Studio and the backend.

    Returns:
        `changed` (False), `healthy`, `samstudio`, `label_studio`, `backend`, `backends` (those of a
        fleet), `projects`; a part that could not be read
        holds `error` instead, in the shape of a command's error.
    """
    label_studio = _part(lambda: _label_studio(deployment))
    connected = _part(lambda: {"connected": _projects(connect, deployment)})
    served = _part(lambda: _backend(deployment, backend_password))
    behind = _part(lambda: {"servers": [asdict(server) for server in balancer.of(deployment)]})
    return {
        "changed": False,
        "healthy": not any("error" in part for part in (label_studio, connected, served, behind))
        and served["state"] == "ready"
        and all(server["state"].startswith("UP") for server in behind["servers"])
        and all(project["state"] == ml_backends.CONNECTED for project in connected["connected"]),
        "samstudio": samstudio.__version__,
        "deployed": deployment.described,
        "label_studio": label_studio,
        "backend": served,
        "backends": behind,
        "projects": connected,
    }


def _part(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except SamstudioError as error:
        return {"error": error.fields()}


def _label_studio(deployment: Deployment) -> dict[str, Any]:
    url = deployment.label_studio.url
    with http_client(url, timeout=10.0) as client, api_errors("reach Label Studio"):
        health = client.get("/health/").raise_for_status().json()["status"]
        version = client.get("/api/version").raise_for_status().json()["release"]
    return {
        "url": url, "internal_url": deployment.label_studio.internal_url, "version": version, "health": health
    }  # fmt: skip


def _projects(connect: Callable[[], LabelStudio], deployment: Deployment) -> list[dict[str, Any]]:
    found = []
    with connect() as studio:
        for project in projects.all_projects(studio):
            for record in ml_backends.records(studio, int(project.id or 0)):
                if ml_backends.same_place(record.url, deployment.backend.internal_url):
                    found.append({
                        "id": project.id, "title": project.title, "url": f"{studio.url}/projects/{project.id}/data",
                        "state": str(record.state), "interactive": record.is_interactive,
                        "error": record.error_message,
                    })  # fmt: skip
    return found


def _backend(deployment: Deployment, password: Callable[[], str]) -> dict[str, Any]:
    settings = deployment.backend
    with backend_client.connect(settings.url, settings.basic_auth_user, password()) as connection:
        return {"url": settings.url, "internal_url": settings.internal_url, **connection.status()}
