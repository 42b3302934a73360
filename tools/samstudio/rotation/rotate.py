"""Which secrets can be replaced, in which order, and what has to hold before one is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from samstudio import token_delivery
from samstudio.backup import journal
from samstudio.deployment import Deployment
from samstudio.labelstudio import tokens
from samstudio.rotation import backend, database, label_studio
from samstudio.rotation.rotated import Rotated, Say
from samstudio.secret_store import (
    ADMIN_PASSWORD,
    API_TOKEN,
    BACKEND_PASSWORD,
    POSTGRES_PASSWORD,
    SECRET_KEY,
    SecretStore,
)


def api_token(deployment: Deployment, store: SecretStore, _: Say) -> Rotated:
    """
    Raises:
        SamstudioError: Label Studio refused.
    """
    settings = deployment.label_studio
    done = tokens.ensure(settings.url, settings.admin_email, store, renew=True)
    return Rotated([f"made a new API token: {done['reason']}", *token_delivery.deliver(deployment)])


#: In the order of --all: those that restart Label Studio first; the key ends the API token.
ROTATIONS: Mapping[str, Callable[[Deployment, SecretStore, Say], Rotated]] = {
    POSTGRES_PASSWORD: database.password,
    SECRET_KEY: label_studio.secret_key,
    ADMIN_PASSWORD: label_studio.admin_password,
    API_TOKEN: api_token,
    BACKEND_PASSWORD: backend.password,
}


def require_possible(deployment: Deployment, names: Sequence[str]) -> None:
    """Refuse before the first of them is touched.

    Raises:
        SamstudioError: a restore or an upgrade was cut off, a secret is missing, or one cannot be replaced from here.
    """
    journal.refuse_unfinished(deployment.config_dir)
    store = SecretStore(deployment.secrets_dir)
    for name in names:
        store.read(name)
    if POSTGRES_PASSWORD in names:
        database.require_possible(deployment)
    if API_TOKEN in names:
        token_delivery.require_possible(deployment)


def rotate(deployment: Deployment, name: str, say: Say) -> Rotated:
    """Replace one secret.

    Raises:
        SamstudioError: it was not; the old one goes on working, or the error says what to type.
    """
    done = ROTATIONS[name](deployment, SecretStore(deployment.secrets_dir), say)
    kept = journal.read(deployment.config_dir, journal.KEPT)
    if kept and kept.older and name in (ADMIN_PASSWORD, BACKEND_PASSWORD):
        done.notes.append(
            f"the database that samstudio rollback brings back, of Label Studio {kept.older.version}, knows the old one"
            "; samstudio rollback --forget removes it"
        )
    return done
