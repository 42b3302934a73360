"""The backend's basic auth: it accepts the old password and the new one, until every record has the new one."""

from __future__ import annotations

from samstudio import backend_client, balancer, credentials, token_delivery
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.labelstudio import connect, ml_backends, own_records, projects
from samstudio.registration import TITLE
from samstudio.rotation.rotated import Rotated, Say
from samstudio.secret_store import API_TOKEN, BACKEND_PASSWORD, GENERATED, SecretStore


def password(deployment: Deployment, store: SecretStore, say: Say) -> Rotated:
    """
    Raises:
        SamstudioError: a backend does not know the new password yet, or Label Studio refused it; both go on working.
    """
    old, *begun = store.content(BACKEND_PASSWORD).splitlines()
    new = begun[0] if begun else GENERATED[BACKEND_PASSWORD]()
    if not begun:
        store.write(BACKEND_PASSWORD, f"{old}\n{new}")
    token_delivery.deliver(deployment)
    say("asking each backend whether it takes the new password")
    _require_accepted(deployment, new)
    records = own_records.of(deployment)
    did = _give(deployment, store.read(API_TOKEN), new, say)
    watching, notes = credentials.renew(deployment, BACKEND_PASSWORD, new, say)
    store.write(BACKEND_PASSWORD, new)
    token_delivery.deliver(deployment)
    notes += [
        f"{url} has the old password: samstudio register --label-studio-url {url}"
        for url in records.elsewhere(deployment.label_studio.url)
    ]
    if deployment.balancer.socket:
        notes.append("backends on other hosts take the old password until the next ./samstudio deploy")
    return Rotated([*did, *watching, "the backend takes the new password, and no longer the old one"], notes)


def _require_accepted(deployment: Deployment, new: str) -> None:
    servers = balancer.of(deployment)
    for url in [f"http://{each.address}" for each in servers] or [deployment.backend.url]:
        try:
            with backend_client.connect(url, deployment.backend.basic_auth_user, new) as backend:
                backend.status()
        except backend_client.BackendError as error:
            raise SamstudioError(
                "A backend does not take the new password yet. The old one goes on working everywhere.",
                link="backend-auth",
                found=error.found or error.message,
                expected=f"{url} to answer to the new password; a deploy brings it to backends on other hosts",
                command=f"./samstudio deploy, then: sudo samstudio secrets rotate {BACKEND_PASSWORD}",
            ) from error


def _give(deployment: Deployment, token: str, new: str, say: Say) -> list[str]:
    settings, did = deployment.backend, []
    wanted = ml_backends.Wanted(settings.internal_url, TITLE, settings.basic_auth_user, new)
    with connect(deployment.label_studio.url, token) as studio:
        own = own_records.of(deployment).ids(studio.url)
        for project in projects.all_projects(studio):
            say(f"project {project.id}: giving Label Studio the new password")
            did += ml_backends.give_password(studio, int(project.id or 0), wanted, own=own)
    return did
