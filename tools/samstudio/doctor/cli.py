"""`samstudio doctor`: which link is broken, why, and what mends it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from samstudio import deployment
from samstudio.commands.common import (
    AsJson,
    BackendUser,
    LabelStudioUrl,
    PasswordFile,
    TokenFile,
    deployment_of,
)
from samstudio.doctor.finding import Finding, Status
from samstudio.errors import SamstudioError
from samstudio.output import emit, out, show_error, typed
from samstudio.secret_store import API_TOKEN, BACKEND_PASSWORD, SecretStore
from samstudio.tunnel.state import DEFAULT_STATE

BROKEN, UNKNOWN = 1, 3
MARKS = {
    Status.OK: "[green]ok  [/]",
    Status.WARN: "[yellow]warn[/]",
    Status.FAIL: "[red]FAIL[/]",
    Status.SKIPPED: "[dim]-   [/]",
}


def doctor(
    context: typer.Context,
    label_studio_url: LabelStudioUrl = "",
    backend_url: Annotated[
        str, typer.Option("--backend-url", metavar="URL", help="The backend as this machine and Label Studio see it.")
    ] = "",
    project: Annotated[int | None, typer.Option(metavar="ID", help="(default: the deployment's, or the first)")] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend Label Studio's record of the backend; say what was done.")
    ] = False,
    token_file: TokenFile = None,
    backend_user: BackendUser = "",
    password_file: PasswordFile = None,
    tunnel_state: Annotated[Path, typer.Option(help="Where `samstudio tunnel` keeps its address.")] = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Walk the chain from the engine to a real click and blame the first broken link.

    Changes nothing without --fix, except that one image may get embedded. Exit codes: 0 every link holds, 1 a link is
    broken, 2 wrong command line, 3 nothing could be looked at.
    """
    from samstudio import existing_label_studio
    from samstudio.doctor import patient
    from samstudio.doctor.chain import examine, first_broken
    from samstudio.doctor.mend import mend

    try:
        by_hand = bool(label_studio_url or backend_url) or not deployment.load(context.obj).described
        found = deployment_of(
            context, label_studio_url=label_studio_url, backend_user=backend_user,
            backend_url=backend_url or ("http://127.0.0.1:9090" if by_hand else ""),
        )  # fmt: skip
        secrets = {"token": _secret(found, API_TOKEN, token_file),
                   "password": _secret(found, BACKEND_PASSWORD, password_file)}  # fmt: skip
        if by_hand:
            command = existing_label_studio.command(found, token_file, password_file)
            described = patient.elsewhere(
                found, **secrets, register=command, project=project, tunnel_state=tunnel_state
            )  # fmt: skip
        else:
            described = patient.deployed(found, **secrets, project=project, tunnel_state=tunnel_state)
    except SamstudioError as error:
        show_error(error)
        raise typer.Exit(UNKNOWN) from error
    with examine(described) as x:
        findings, did = x.findings, mend(x) if fix else []
    if did:
        with examine(described) as x:
            findings = x.findings
    broken = first_broken(findings)
    emit(
        {
            "changed": bool(did),
            "healthy": broken is None,
            "broken": broken.link if broken else None,
            "did": did,
            "findings": [asdict(finding) for finding in findings],
        },
        as_json=as_json,
        human=lambda: _show(findings, broken, did),
    )
    raise typer.Exit(BROKEN if broken else 0)


def _secret(found: deployment.Deployment, name: str, file: Path | None) -> str:
    """A secret that may be missing: then the link that needs it says so. One that is there must be well kept."""
    store = SecretStore(file.parent if file else found.secrets_dir)
    name = file.name if file else name
    return store.read(name) if file or store.exists(name) else ""


def _show(findings: list[Finding], broken: Finding | None, did: list[str]) -> None:
    for line in did:
        out.print(f"[bold]mended[/] {escape(line)}", soft_wrap=True)
    for finding in findings:
        out.print(f"{MARKS[finding.status]} {finding.link:18}{escape(finding.evidence)}", soft_wrap=True)
    for finding in [broken] if broken else [each for each in findings if each.status is Status.WARN]:
        name = f"{finding.link}: {finding.cause}" if finding.cause else finding.link
        out.print(
            f"\n[bold]{escape(name)}[/]\n  cause  {escape(finding.why)}\n  fix    {escape(typed(finding.fix))}",
            soft_wrap=True,
        )
    if broken is None:
        clicked = any(each.link == "click" and each.status is Status.OK for each in findings)
        out.print(
            "\n[green]Every link holds.[/]" if clicked else "\n[yellow]No link is broken, but no click was proven.[/]"
        )
