"""`samstudio doctor`: which link is broken, why, and what mends it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from samstudio import config
from samstudio.addresses import normalise
from samstudio.doctor.finding import Finding, Status
from samstudio.doctor.patient import Patient
from samstudio.errors import SamstudioError
from samstudio.output import emit, out, show_error
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
    label_studio: Annotated[
        str, typer.Option(metavar="URL", help="A Label Studio that runs by hand, or elsewhere.")
    ] = "",
    backend: Annotated[
        str, typer.Option(metavar="URL", help="Its backend, as this machine and Label Studio see it.")
    ] = "",
    project: Annotated[int | None, typer.Option(metavar="ID", help="(default: the deployment's, or the first)")] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend Label Studio's record of the backend; say what was done.")
    ] = False,
    token_file: Annotated[Path | None, typer.Option(help="0600 file with the API token. (default: the secret)")] = None,
    backend_user: Annotated[str, typer.Option(help="Basic auth user. (default: deployment.yml)")] = "",
    backend_password_file: Annotated[Path | None, typer.Option(help="0600 file. (default: the secret)")] = None,
    tunnel_state: Annotated[Path, typer.Option(help="Where `samstudio tunnel` keeps its address.")] = DEFAULT_STATE,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Walk the chain from the engine to a real click and blame the first broken link.

    Changes nothing without --fix, except that one image may get embedded. Exit codes: 0 every link holds, 1 a link is
    broken, 2 wrong command line, 3 nothing could be looked at.
    """
    from samstudio.doctor.chain import examine, first_broken
    from samstudio.doctor.mend import mend

    try:
        patient = _patient(
            config.load(context.obj),
            label_studio,
            backend,
            project,
            token_file,
            backend_user,
            backend_password_file,
            tunnel_state,
        )
    except SamstudioError as error:
        show_error(error)
        raise typer.Exit(UNKNOWN) from error
    with examine(patient) as x:
        findings, did = x.findings, mend(x) if fix else []
    if did:
        with examine(patient) as x:
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


def _patient(
    deployment: config.Deployment,
    label_studio: str,
    backend: str,
    project: int | None,
    token_file: Path | None,
    user: str,
    password_file: Path | None,
    tunnel_state: Path,
) -> Patient:
    token = _secret(deployment, API_TOKEN, token_file)
    password = _secret(deployment, BACKEND_PASSWORD, password_file)
    user = user or deployment.backend.basic_auth_user
    if label_studio or backend or not deployment.described:
        studio_url = _url(label_studio or deployment.label_studio.url, 8080)
        backend_url = _url(backend or "http://127.0.0.1:9090", 9090)
        return Patient(
            studio_url,
            backend_url,
            wanted=backend_url,
            studio_internal=studio_url,
            user=user,
            password=password,
            token=token,
            project=project,
            data=Path.cwd(),
            tunnel_state=tunnel_state,
        )
    described, studio = deployment.backend, deployment.label_studio
    return Patient(
        studio.url,
        described.url,
        wanted=described.internal_url,
        studio_internal=studio.internal_url,
        user=user,
        password=password,
        token=token,
        project=project,
        title=deployment.project.title,
        studio_container=studio.container,
        backend_container=described.container,
        address=described.address,
        data=deployment.images.host_root,
        tunnel_state=tunnel_state,
    )


def _url(text: str, port: int) -> str:
    try:
        return normalise(text, default_port=port, keep_path=True).url
    except ValueError as error:
        raise SamstudioError("A URL cannot be used.", found=str(error), expected="http://HOST:PORT") from error


def _secret(deployment: config.Deployment, name: str, file: Path | None) -> str:
    """A secret that may be missing: then the link that needs it says so. One that is there must be well kept."""
    store = SecretStore(file.parent if file else deployment.secrets_dir)
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
            f"\n[bold]{escape(name)}[/]\n  cause  {escape(finding.why)}\n  fix    {escape(finding.fix)}", soft_wrap=True
        )
    if broken is None:
        clicked = any(each.link == "click" and each.status is Status.OK for each in findings)
        out.print(
            "\n[green]Every link holds.[/]" if clicked else "\n[yellow]No link is broken, but no click was proven.[/]"
        )
