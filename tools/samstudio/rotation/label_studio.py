"""Label Studio's own secrets: its administrator's password, and the key that it signs with."""

from __future__ import annotations

from pathlib import Path

from samstudio import token_delivery
from samstudio.backup import restore, service
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.labelstudio import LabelStudioError
from samstudio.labelstudio.session import sign_in
from samstudio.rotation import inside
from samstudio.rotation.rotated import Rotated, Say
from samstudio.secret_store import ADMIN_PASSWORD, SECRET_KEY, SecretStore


def copy_of(deployment: Deployment, name: str) -> Path:
    """The copy that is mounted into Label Studio's container, which reads it when it starts."""
    return deployment.config_dir / restore.COPIES / name


def admin_password(deployment: Deployment, store: SecretStore, say: Say) -> Rotated:
    """
    Raises:
        SamstudioError: Label Studio did not take the new password; the old one goes on working.
    """
    new, copy = store.next(ADMIN_PASSWORD), copy_of(deployment, ADMIN_PASSWORD)
    token_delivery.renew(copy, new)
    say(f"giving {deployment.label_studio.admin_email} the new password")
    try:
        inside.give_password(deployment)
        _sign_in(deployment, new)
    except BaseException:
        if not _may_be_password(deployment, new):
            token_delivery.renew(copy, store.read(ADMIN_PASSWORD))
            store.drop_next(ADMIN_PASSWORD)
        raise
    store.settle(ADMIN_PASSWORD)
    return Rotated(did=[f"gave {deployment.label_studio.admin_email} a new password, and ended this user's sessions"])


def secret_key(deployment: Deployment, store: SecretStore, say: Say) -> Rotated:
    """Ends all sessions, and every personal access token: Label Studio signs both with this key.

    Raises:
        SamstudioError: Label Studio does not come up with the new key; it was started with the old one again.
    """
    new, copy = store.next(SECRET_KEY), copy_of(deployment, SECRET_KEY)
    token_delivery.renew(copy, new)
    say("restarting Label Studio, which reads its key when it starts")
    try:
        service.restart(deployment)
        service.wait(deployment, say)
    except SamstudioError:
        token_delivery.renew(copy, store.read(SECRET_KEY))
        store.drop_next(SECRET_KEY)
        service.restart(deployment)
        raise
    did, notes = restore.hand_on_token(deployment, say)
    store.settle(SECRET_KEY)
    ended = "everyone has to sign in again, and personal access tokens of people have to be made anew"
    if deployment.balancer.socket:
        notes.append("backends on other hosts have the old API token until the next ./samstudio deploy")
    return Rotated(did=["gave Label Studio a new key and restarted it", *did], notes=[ended, *notes])


def _sign_in(deployment: Deployment, password: str) -> None:
    with sign_in(deployment.label_studio.url, deployment.label_studio.admin_email, password):
        pass


def _may_be_password(deployment: Deployment, password: str) -> bool:
    """Whether it signs in, or nobody can tell."""
    try:
        _sign_in(deployment, password)
    except LabelStudioError as error:
        return error.status != 401
    return True
