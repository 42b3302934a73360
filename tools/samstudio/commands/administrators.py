"""`samstudio administrators ensure`: what role label_studio does for label_studio_administrators."""

from __future__ import annotations

from typing import Annotated

import typer

from samstudio.commands.common import AsJson, Check, deployment_here
from samstudio.errors import WrongCommandLine
from samstudio.output import emit, out
from samstudio.secret_store import EMAIL, SecretStore
from samstudio.verbs import group, verb

app = group("administrators", "Makes the accounts of further administrators of Label Studio; a deploy does that.")


def ensure(
    emails: Annotated[list[str], typer.Argument(metavar="EMAIL…", help="The addresses that they sign in with.")],
    as_json: AsJson = False,
    check: Check = False,
) -> None:
    """Makes the accounts that are missing, each with a password of its own, and administrators of those that are none.

    An account that is there keeps its password, and no account is ever removed. samstudio secrets list shows the names
    of the passwords.

    \b
    Example:
      sudo samstudio administrators ensure ada@lab.example grace@lab.example
    """
    from samstudio import administrators

    if wrong := [email for email in emails if not EMAIL.fullmatch(email)]:
        raise WrongCommandLine(
            "That is no address to sign in with.",
            found=", ".join(wrong),
            expected="such as ada@lab.example, in lower case",
        )
    found = deployment_here(expected="to run on the host of Label Studio", command="./samstudio deploy")
    run = administrators.in_container(found.label_studio.container)
    result = administrators.ensure(run, SecretStore(found.secrets_dir), emails, check=check)

    def human() -> None:
        for email in result["made"]:
            out.print(f"made the account of {email}")
        for email in result["promoted"]:
            out.print(f"{email} is an administrator now")
        if not result["changed"]:
            out.print("unchanged")

    emit(result, as_json=as_json, human=human)


verb(app, ensure)
