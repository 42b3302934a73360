"""PostgreSQL's password: it takes one at a time, so Label Studio is restarted with the new one at once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from pathlib import Path

from samstudio import credentials, token_delivery
from samstudio.backup import service
from samstudio.backup.postgresql import MAINTENANCE, USER, PostgreSQL
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.rotation.label_studio import copy_of
from samstudio.rotation.rotated import Rotated, Say
from samstudio.secret_store import POSTGRES_PASSWORD, SecretStore

#: beside deployment.yml: the copy that role database mounts into the container
COPY = "label-studio-database-password"
ITERATIONS = 4096


def require_possible(deployment: Deployment) -> None:
    """
    Raises:
        SamstudioError: the database is on another host.
    """
    if deployment.database.kind == "postgresql" and deployment.database.host:
        raise SamstudioError(
            "The database's password cannot be replaced from here: the database is on another host.",
            link="database",
            found=f"database.host={deployment.database.host} in deployment.yml",
            expected="a deploy, which writes a new password into the database on any host",
            command=f"sudo mv {deployment.secrets_dir / POSTGRES_PASSWORD} /root/ && "
            "./samstudio deploy -e samstudio_new_secrets=true",
        )


def password(deployment: Deployment, store: SecretStore, say: Say) -> Rotated:
    """
    Raises:
        SamstudioError: PostgreSQL takes neither the old password nor the new one; or Label Studio, which has the new
            one as everybody has, does not come up.
    """
    new = store.next(POSTGRES_PASSWORD)
    if deployment.database.kind != "postgresql":
        token_delivery.renew(copy_of(deployment, POSTGRES_PASSWORD), new)
        store.settle(POSTGRES_PASSWORD)
        return Rotated(["made another password for PostgreSQL, which Label Studio does not use here"])
    say("giving the database its new password, and restarting Label Studio, which reads it when it starts")
    give(PostgreSQL(deployment.database.container), deployment.config_dir / COPY, new)
    token_delivery.renew(copy_of(deployment, POSTGRES_PASSWORD), new)
    service.restart(deployment)
    watching, notes = credentials.renew(deployment, POSTGRES_PASSWORD, new, say)
    store.settle(POSTGRES_PASSWORD)
    service.wait(deployment, say)
    return Rotated(["gave the database a new password and restarted Label Studio", *watching], notes)


def give(server: PostgreSQL, copy: Path, new: str) -> None:
    """Make it the password of PostgreSQL, and of the copy that its own container lets its programs in with.

    Raises:
        SamstudioError: PostgreSQL takes neither the copy's password nor the new one.
    """
    old = copy.read_text().strip()
    if _refusal(server) is None:
        if old != new:
            server.feed([f"ALTER ROLE {USER} PASSWORD '{verifier(new)}';\n"], MAINTENANCE)
            _overwrite(copy, new)
        return
    # An earlier rotation was cut off between the two.
    _overwrite(copy, new)
    if refusal := _refusal(server):
        _overwrite(copy, old)
        raise SamstudioError(
            "PostgreSQL takes neither its old password nor the next one; nothing was changed.",
            link="database",
            found=refusal.found,
            expected=f"the password in {copy}, and {server.container} to run",
            command=f"docker logs --tail 20 {server.container}   # where the password is lost: ./samstudio deploy "
            "-e samstudio_new_secrets=true",
        )


def verifier(password: str, salt: bytes | None = None) -> str:
    """What PostgreSQL keeps of a password (RFC 5803), so that neither a statement nor a log ever holds the password."""
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ITERATIONS)
    stored = hashlib.sha256(_keyed(salted, b"Client Key")).digest()
    parts = [base64.b64encode(each).decode() for each in (salt, stored, _keyed(salted, b"Server Key"))]
    return f"SCRAM-SHA-256${ITERATIONS}:{parts[0]}${parts[1]}:{parts[2]}"


def _keyed(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _refusal(server: PostgreSQL) -> SamstudioError | None:
    try:
        server.ask("SELECT 1")
    except SamstudioError as error:
        return error
    return None


def _overwrite(copy: Path, value: str) -> None:
    """In place: a file that is mounted by itself is another one to the container once it is replaced."""
    with copy.open("r+b") as file:
        file.write(f"{value}\n".encode())
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
