"""Accounts of further administrators in Label Studio: made once, each with a password of its own in the secret store.

Label Studio's API makes no administrator, so this runs in Label Studio's own Python. Passwords go there on stdin.
"""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from samstudio import as_label_studio
from samstudio.errors import SamstudioError
from samstudio.secret_store import PASSWORD_BYTES, SecretStore, administrators_password

SECONDS = 120

#: Reads {"emails": [...], "passwords": {email: password}, "check": ...} and prints what was, or would be, done to whom.
#: An account without a password to give is only named.
SCRIPT = (
    as_label_studio.ENTER
    + """
import json
from django.contrib.auth import get_user_model
from django.db import transaction
from organizations.models import Organization
asked = json.load(sys.stdin)
done = {"made": [], "promoted": [], "missing": []}
with transaction.atomic():
    for email in asked["emails"]:
        user = get_user_model().objects.filter(email=email).first()
        if user is None and email not in asked["passwords"]:
            done["missing"].append(email)
            continue
        if user is not None and user.is_staff and user.is_superuser:
            continue
        done["promoted" if user else "made"].append(email)
        if asked["check"]:
            continue
        if user is None:
            user = get_user_model().objects.create_user(email=email, password=asked["passwords"][email])
            user.username = email.split("@")[0]
            user.active_organization = Organization.objects.first()
            user.active_organization.add_user(user)
        user.is_staff = user.is_superuser = True
        user.save()
print(json.dumps(done))
"""
)

#: runs SCRIPT: from what it reads on stdin to what it prints
Run = Callable[[str], str]


def ensure(run: Run, store: SecretStore, emails: Sequence[str], *, check: bool = False) -> dict[str, Any]:
    """Make the accounts that are missing, and administrators of those that are none.

    An account that is there keeps its password, and one that is not named is left alone. A password is in the store
    before its account is made, so none is lost whenever this is cut off.

    Returns:
        `changed`, `made` and `promoted`: addresses; with `check`, whose accounts would be.

    Raises:
        SamstudioError: Label Studio does not run, or the store refused.
    """
    found = _asked(run, {"emails": emails, "passwords": {}, "check": check})
    missing = found["missing"]
    if missing and not check:
        passwords = {email: _password(store, email) for email in missing}
        _asked(run, {"emails": missing, "passwords": passwords, "check": False})
    return {"changed": bool(missing or found["promoted"]), "made": missing, "promoted": found["promoted"]}


def in_container(container: str) -> Run:
    """What runs SCRIPT in Label Studio's container, with the settings that Label Studio has there."""
    argv = as_label_studio.command(container, "-c", SCRIPT)

    def run(asked: str) -> str:
        try:
            ran = subprocess.run(argv, input=asked, capture_output=True, text=True, timeout=SECONDS, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            # an error's own text would show the script
            said = str(getattr(error, "stderr", "") or getattr(error, "strerror", "") or type(error).__name__)
            raise SamstudioError(
                "Label Studio's accounts cannot be looked at.",
                link="label-studio",
                found=said.strip().rpartition("\n")[2],
                expected=f"Label Studio running in container {container}, and to run as root",
                command=f"docker ps --filter name={container}",
            ) from None
        return ran.stdout

    return run


def _asked(run: Run, asked: dict[str, Any]) -> dict[str, list[str]]:
    printed = run(json.dumps(asked)).strip().rpartition("\n")[2]
    done: dict[str, list[str]] = json.loads(printed)
    return done


def _password(store: SecretStore, email: str) -> str:
    name = administrators_password(email)
    if not store.exists(name):
        store.write(name, secrets.token_urlsafe(PASSWORD_BYTES))
    return store.read(name)
