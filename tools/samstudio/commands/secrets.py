"""`samstudio secrets …` and `samstudio token …`"""

from __future__ import annotations

import typer

from samstudio.commands.common import AsJson, Check, LabelStudioUrl, deployment_of
from samstudio.labelstudio import tokens
from samstudio.output import emit, failures, out
from samstudio.secret_store import API_TOKEN, SecretStore

secrets_app = typer.Typer(no_args_is_help=True, help="Passwords and keys of this host, one file each.")
token_app = typer.Typer(no_args_is_help=True, help="The personal access token the tools and the backend use.")


@secrets_app.command("ensure")
def secrets_ensure(context: typer.Context, as_json: AsJson = False, check: Check = False) -> None:
    """Generate the secrets that are missing. Never touches one that is there."""
    with failures(as_json=as_json):
        store = SecretStore(deployment_of(context).secrets_dir)
        made = store.ensure(check=check)
        result = {"changed": bool(made), "created": made, "folder": str(store.folder)}
        emit(result, as_json=as_json, human=lambda: out.print(f"{len(made)} generated in {store.folder}", *made))


@token_app.command("ensure")
def token_ensure(
    context: typer.Context, as_json: AsJson = False, check: Check = False, label_studio_url: LabelStudioUrl = ""
) -> None:
    """Obtain a personal access token with the admin's password, unless the stored one is valid."""
    _ensure(context, as_json, check, label_studio_url, renew=False)


@token_app.command("rotate")
def token_rotate(
    context: typer.Context, as_json: AsJson = False, check: Check = False, label_studio_url: LabelStudioUrl = ""
) -> None:
    """Revoke the token and store a new one. The backend reads it when it starts: restart that after."""
    _ensure(context, as_json, check, label_studio_url, renew=True)


@token_app.command("verify")
def token_verify(context: typer.Context, as_json: AsJson = False, label_studio_url: LabelStudioUrl = "") -> None:
    """Ask Label Studio whose token the stored one is."""
    with failures(as_json=as_json):
        found = deployment_of(context, label_studio_url=label_studio_url)
        verified = tokens.verify(found.label_studio.url, SecretStore(found.secrets_dir).read(API_TOKEN))
        result = {"changed": False, "kind": verified.kind, "email": verified.email}
        emit(result, as_json=as_json, human=lambda: out.print(f"a valid {verified.kind} token of {verified.email}"))


def _ensure(context: typer.Context, as_json: bool, check: bool, label_studio_url: str, *, renew: bool) -> None:
    with failures(as_json=as_json):
        found = deployment_of(context, label_studio_url=label_studio_url)
        result = tokens.ensure(
            found.label_studio.url, found.label_studio.admin_email, SecretStore(found.secrets_dir),
            renew=renew, check=check,
        )  # fmt: skip

        def human() -> None:
            if result["revoked"]:
                out.print("revoked a token whose value nobody has any more")
            out.print(("a new token is stored: " if result["changed"] else "unchanged: ") + str(result["reason"]))

        emit(result, as_json=as_json, human=human)
