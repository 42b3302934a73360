"""`samstudio doctor`: which link is broken, why, and what mends it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from samstudio import deployment
from samstudio.commands.common import (
    AsJson,
    BackendUser,
    LabelStudioUrl,
    PasswordFile,
    TokenFile,
    api_token,
    backend_password,
    deployment_of,
)
from samstudio.deployment import Deployment
from samstudio.doctor.link import Status
from samstudio.errors import ExitCode, NothingToLookAt, SamstudioError, WrongCommandLine, explained
from samstudio.output import emit, out, typed
from samstudio.secret_store import API_TOKEN, BACKEND_PASSWORD, SecretStore
from samstudio.tunnel.state import DEFAULT_STATE, read_state

if TYPE_CHECKING:
    from samstudio.doctor.pair import Pair
    from samstudio.doctor.walk import Finding, Walk

#: where a backend listens on a machine on which nothing was deployed
USUAL_BACKEND = "http://127.0.0.1:9090"
MARKS = {
    Status.OK: "[green]ok  [/]",
    Status.WARN: "[yellow]warn[/]",
    Status.FAIL: "[red]FAIL[/]",
    Status.SKIPPED: "[dim]-   [/]",
}


def doctor(
    label_studio_url: LabelStudioUrl = "",
    backend_url: Annotated[
        str, typer.Option("--backend-url", metavar="URL", help="The backend as this machine and Label Studio see it.")
    ] = "",
    project: Annotated[
        int | None, typer.Option(metavar="ID", help="A project's id. Default: the deployment's, or the first.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend Label Studio's record of the backend; say what was done.")
    ] = False,
    token_file: TokenFile = None,
    backend_user: BackendUser = "",
    password_file: PasswordFile = None,
    tunnel_state: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the running tunnel writes its address down.")
    ] = DEFAULT_STATE,
    as_json: AsJson = False,
) -> None:
    """Walks from the engine to a real click, finds the first broken link, and names its cause and what mends it.

    It changes nothing without --fix, except that one image may get embedded. The exit code is 0 when every link holds,
    1 when one is broken, and 3 when nothing could be looked at, or when no click came back that would prove anything.

    \b
    Example:
      samstudio doctor
      samstudio doctor --fix
      samstudio doctor --label-studio-url http://LABEL-STUDIO:8080 --backend-url http://BACKEND:9090 \\
        --token-file token --password-file password
    """
    from samstudio.doctor.walk import Walk

    try:
        pair = _pair(
            label_studio_url,
            backend_url,
            backend_user,
            token_file,
            password_file,
            project=project,
            tunnel_state=tunnel_state,
        )
    except WrongCommandLine:
        raise
    except (SamstudioError, OSError) as error:
        told = explained(error, "samstudio doctor")
        raise NothingToLookAt(told.message, found=told.found, expected=told.expected, command=told.command) from error
    looking = (lambda _: nullcontext()) if as_json else _looking
    with Walk(pair, looking) as walk:
        _go(walk, quiet=as_json)
        did = walk.mend() if fix else []
    if did:
        if not as_json:
            out.print("", *(f"[bold]mended[/] {escape(line)}" for line in did), "", sep="\n", soft_wrap=True)
        with Walk(pair, looking) as walk:
            _go(walk, quiet=as_json)
    broken = walk.first_broken
    proven = broken is None and not _skipped(walk.findings, "click")
    emit(
        {
            "changed": bool(did),
            "healthy": proven,
            "broken": broken.link if broken else None,
            "did": did,
            "findings": [asdict(finding) for finding in walk.findings],
        },
        as_json=as_json,
        human=lambda: _show_end(walk.findings, broken),
    )
    raise typer.Exit(ExitCode.FAILED if broken else ExitCode.DONE if proven else ExitCode.NOTHING_TO_LOOK_AT)


def _skipped(findings: list[Finding], link: str) -> bool:
    return any(each.link == link and each.status is Status.SKIPPED for each in findings)


def _go(walk: Walk, *, quiet: bool) -> None:
    for finding in walk:
        if not quiet:
            _show_finding(finding)


def _pair(
    label_studio_url: str,
    backend_url: str,
    backend_user: str,
    token_file: Path | None,
    password_file: Path | None,
    *,
    tunnel_state: Path,
    **more: Any,
) -> Pair:
    """The deployed pair, or the one that the options name; a side that they do not name is the deployed one.

    A stored secret is for the server that it was made for, and shown to no other.
    """
    from samstudio import existing_label_studio
    from samstudio.doctor import pair

    own = deployment.load()
    named = deployment_of(label_studio_url=label_studio_url, backend_url=backend_url, backend_user=backend_user)
    studio, backend = named.label_studio.url, named.backend.internal_url
    own_studio = not label_studio_url or studio == own.label_studio.url
    own_backend = not backend_url or backend in (own.backend.url, own.backend.internal_url)
    secrets = {
        "token": _token(own, token_file, stored=own_studio or not own.described),
        "password": _password(own, password_file, stored=own_backend or not own.described),
    }
    if own.described and own_studio and own_backend:
        own = replace(own, backend=replace(own.backend, basic_auth_user=named.backend.basic_auth_user))
        return pair.deployed(own, **secrets, tunnel_state=tunnel_state, **more)
    seen_from_here, seen_from_studio = backend, backend
    if own_backend:
        seen_from_here = seen_from_studio = own.backend.url if own.described else USUAL_BACKEND
        tunnel = read_state(tunnel_state)
        if own.described and tunnel is not None and tunnel.is_kept:
            seen_from_studio = tunnel.url
    named = replace(named, backend=replace(named.backend, internal_url=seen_from_studio))
    return pair.by_hand(
        named,
        backend=seen_from_here,
        **secrets,
        tunnel_state=tunnel_state,
        register=existing_label_studio.command(named, token_file, password_file),
        **more,
    )


def _token(own: Deployment, file: Path | None, *, stored: bool) -> str:
    """A secret that may be missing: then the link that needs it says so. One that is there must be well kept."""
    given = file is not None or os.environ.get("LABEL_STUDIO_API_KEY")
    return api_token(own, file) if given or (stored and SecretStore(own.secrets_dir).exists(API_TOKEN)) else ""


def _password(own: Deployment, file: Path | None, *, stored: bool) -> str:
    given = file is not None or os.environ.get("BASIC_AUTH_PASS")
    there = stored and SecretStore(own.secrets_dir).exists(BACKEND_PASSWORD)
    return backend_password(own, file) if given or there else ""


def _looking(link: str) -> AbstractContextManager[object]:
    """Shown while a link is looked at, at a terminal only."""
    return out.status(f"[dim]{link}[/]") if out.is_terminal else nullcontext()


def _show_finding(finding: Finding) -> None:
    out.print(f"{MARKS[finding.status]} {finding.link:18}{escape(finding.evidence)}", soft_wrap=True)


def _show_end(findings: list[Finding], broken: Finding | None) -> None:
    for finding in [broken] if broken else [each for each in findings if each.status is Status.WARN]:
        name = f"{finding.link}: {finding.cause}" if finding.cause else finding.link
        out.print(
            f"\n[bold]{escape(name)}[/]\n  cause  {escape(finding.why)}\n  fix    {escape(typed(finding.fix))}",
            soft_wrap=True,
        )
    if broken is None:
        unproven = "\n[yellow]No link is broken, but there was no click, so nothing is proven.[/]"
        out.print(unproven if _skipped(findings, "click") else "\n[green]Every link holds.[/]")
