"""`samstudio token …`"""

from __future__ import annotations

from typing import Any

from samstudio import token_delivery
from samstudio.commands.common import AsJson, Check, LabelStudioUrl, deployment_of
from samstudio.deployment import Deployment
from samstudio.labelstudio import tokens
from samstudio.output import emit, out
from samstudio.secret_store import API_TOKEN, SecretStore
from samstudio.verbs import group, verb

app = group("token", "Shows and renews the API token that the tools and the backend use at Label Studio.")


def show(as_json: AsJson = False, label_studio_url: LabelStudioUrl = "") -> None:
    """Says whose the stored token is, whether Label Studio accepts it, and where it is.

    \b
    Example:
      samstudio token show
    """
    found = deployment_of(label_studio_url=label_studio_url)
    store = SecretStore(found.secrets_dir)
    verified = tokens.verify(found.label_studio.url, store.read(API_TOKEN))
    result = {"changed": False, "kind": verified.kind, "email": verified.email, "path": str(store.path(API_TOKEN))}
    emit(
        result,
        as_json=as_json,
        human=lambda: out.print(f"a valid {verified.kind} token of {verified.email}, in {result['path']}"),
    )


def rotate(as_json: AsJson = False, check: Check = False, label_studio_url: LabelStudioUrl = "") -> None:
    """Revokes the token, stores a new one, and gives it to the backend of this host, which takes it at once.

    Where backends run on other hosts, it refuses and says what to do.

    \b
    Example:
      sudo samstudio token rotate
    """
    found = deployment_of(label_studio_url=label_studio_url)
    token_delivery.require_possible(found)
    _ensure(found, as_json, check, renew=True)


def ensure(as_json: AsJson = False, check: Check = False, label_studio_url: LabelStudioUrl = "") -> None:
    """Obtains a token with the admin's password, unless the stored one is valid, and gives it to the backend here.

    \b
    Example:
      samstudio token ensure --check
    """
    _ensure(deployment_of(label_studio_url=label_studio_url), as_json, check, renew=False)


def _ensure(found: Deployment, as_json: bool, check: bool, *, renew: bool) -> None:
    result: dict[str, Any] = tokens.ensure(
        found.label_studio.url,
        found.label_studio.admin_email,
        SecretStore(found.secrets_dir),
        renew=renew,
        check=check,
    )
    result["did"] = token_delivery.deliver(found, check=check) if not (check and result["changed"]) else []
    result["changed"] = result["changed"] or bool(result["did"])

    def human() -> None:
        if result["revoked"]:
            out.print("revoked a token whose value nobody has any more")
        out.print(("a new token is stored: " if result["changed"] else "unchanged: ") + str(result["reason"]))
        for line in result["did"]:
            out.print(line)

    emit(result, as_json=as_json, human=human)


verb(app, show)
verb(app, rotate)
verb(app, ensure, hidden=True)
