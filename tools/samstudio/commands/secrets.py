"""`samstudio secrets …`"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from samstudio import lock
from samstudio.commands.common import AsJson, Check, deployment_here, deployment_of
from samstudio.errors import NothingToLookAt, WrongCommandLine
from samstudio.output import emit, out, say, typed
from samstudio.secret_store import ADMIN_PASSWORD, SecretStore
from samstudio.verbs import group, verb

app = group("secrets", "Shows where the passwords of this host are, and what they are, and replaces them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="A name that samstudio secrets list shows.")]


def list_secrets(as_json: AsJson = False) -> None:
    """Lists the secrets of this host: their names and files, and no values.

    \b
    Example:
      samstudio secrets list
    """
    store = SecretStore(deployment_of().secrets_dir)
    _require_any(store)
    every = [{"name": name, "path": str(store.path(name)), "there": store.exists(name)} for name in store.names()]

    def human() -> None:
        for each in every:
            out.print(f"{each['name']:30} {each['path'] if each['there'] else '[dim]not there[/]'}")

    emit({"changed": False, "folder": str(store.folder), "secrets": every}, as_json=as_json, human=human)


def path(name: Name = ADMIN_PASSWORD, as_json: AsJson = False) -> None:
    """Prints the file that holds a secret; without a NAME, that of the password you sign in to Label Studio with.

    \b
    Example:
      samstudio secrets path backend_basic_auth_password
    """
    store = _store_with(name)
    result = {"changed": False, "name": name, "path": str(store.path(name))}
    emit(result, as_json=as_json, human=lambda: typer.echo(store.path(name)))


def show(name: Name = ADMIN_PASSWORD, as_json: AsJson = False) -> None:
    """Prints a secret; without a NAME, the password that you sign in to Label Studio with.

    \b
    Example:
      samstudio secrets show
    """
    store = _store_with(name)
    _require_any(store)
    value = store.read(name)
    result: dict[str, Any] = {"changed": False, "name": name, "value": value}
    emit(result, as_json=as_json, human=lambda: typer.echo(value))


def ensure(as_json: AsJson = False, check: Check = False) -> None:
    """Generates the secrets that are missing. It never touches one that is there.

    \b
    Example:
      samstudio secrets ensure --check
    """
    store = SecretStore(deployment_of().secrets_dir)
    made = store.ensure(check=check)
    result = {"changed": bool(made), "created": made, "folder": str(store.folder)}
    emit(result, as_json=as_json, human=lambda: out.print(f"{len(made)} generated in {store.folder}", *made))


def rotate(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A name that samstudio secrets list shows.")] = "",
    every: Annotated[bool, typer.Option("--all", help="Replace all of them.")] = False,
    as_json: AsJson = False,
    check: Check = False,
) -> None:
    """Replaces a secret everywhere by a new one: here, in Label Studio, in the database and at the backend.

    Clicks go on, except that postgres_password and label_studio_secret_key restart Label Studio. A new
    label_studio_secret_key ends everybody's session and personal access token. If it is interrupted, type it again.

    \b
    Example:
      sudo samstudio secrets rotate label_studio_admin_password
      sudo samstudio secrets rotate --all
    """
    from samstudio.rotation import rotate as rotating

    if every == bool(name):
        raise WrongCommandLine(
            "Which secret shall be replaced?",
            found=f"{name} and --all" if every else "neither a name nor --all",
            expected=f"--all, or one of {', '.join(rotating.ROTATIONS)}",
            command="samstudio secrets rotate --all",
        )
    if name and name not in rotating.ROTATIONS:
        raise WrongCommandLine(
            "There is no such secret that can be replaced.",
            found=name,
            expected=f"one of {', '.join(rotating.ROTATIONS)}; further administrators change their own in Label Studio",
            command="samstudio secrets rotate --all",
        )
    names = list(rotating.ROTATIONS) if every else [name]
    found = deployment_here(expected="to run on the host of Label Studio", command="./samstudio deploy")
    result: dict[str, Any] = {"changed": True, "rotated": names, "did": [], "notes": []}
    with lock.held(found.config_dir, "secrets rotate"):
        rotating.require_possible(found, names)
        for each in names if not check else ():
            done = rotating.rotate(found, each, say)
            result["did"] += done.did
            result["notes"] += done.notes

    def human() -> None:
        out.print(f"{'To be replaced' if check else 'Replaced'}: {', '.join(names)}")
        for line in result["did"]:
            out.print(escape(line))
        for line in result["notes"]:
            out.print(f"[yellow]to know:[/] {escape(typed(line))}")

    emit(result, as_json=as_json, human=human)


def apply(as_json: AsJson = False, check: Check = False) -> None:
    """Gives Label Studio's administrator the password that its container has: where secrets were lost and made anew.

    \b
    Example:
      samstudio secrets apply
    """
    from samstudio.rotation import inside

    found = deployment_here(expected="to run on the host of Label Studio", command="./samstudio deploy")
    changed = check or inside.give_password(found)
    emit({"changed": changed}, as_json=as_json, human=lambda: out.print("given" if changed else "unchanged"))


def _require_any(store: SecretStore) -> None:
    if not any(store.exists(name) for name in store.names()):
        raise NothingToLookAt(
            "This host has no secrets.",
            found=f"none in {store.folder}",
            expected="a deployment on this host",
            command="./samstudio deploy",
        )


def _store_with(name: str) -> SecretStore:
    store = SecretStore(deployment_of().secrets_dir)
    if name not in store.names():
        raise WrongCommandLine(
            "There is no such secret.", found=name, expected=", ".join(store.names()), command="samstudio secrets list"
        )
    return store


verb(app, list_secrets, name="list")
verb(app, path)
verb(app, show)
verb(app, rotate)
verb(app, ensure, hidden=True)
verb(app, apply, hidden=True)
