"""`samstudio status`"""

from __future__ import annotations

from typing import Any

import typer
from rich.markup import escape

from samstudio.commands.common import AsJson, backend_password, deployment_here, studio
from samstudio.output import emit, out, say, typed

NAME_WIDTH = 14


def status(as_json: AsJson = False) -> None:
    """Shows versions, addresses, model, cache, connected projects and the last click, and where to sign in.

    The exit code is 1 unless Label Studio and the backend answer and at least one project is connected. It is 3 where
    nothing is deployed on this host.

    \b
    Example:
      samstudio status
    """
    from samstudio import status as looking

    found = deployment_here(
        expected="to run on the host that Label Studio was deployed to; samstudio doctor looks from elsewhere",
        command="samstudio doctor --label-studio-url http://LABEL-STUDIO:8080 --backend-url http://BACKEND:9090"
        "   # elsewhere; ./samstudio deploy makes one here",
    )
    result = looking.collect(found, lambda: studio(found), lambda: backend_password(found), say)
    emit(result, as_json=as_json, human=lambda: _show(result))
    if not result["healthy"]:
        raise typer.Exit(1)


def _line(name: str, text: str) -> None:
    out.print(f"{name:{NAME_WIDTH}}{text}")


def _failure(name: str, error: dict[str, str]) -> None:
    _line(name, f"[red]{escape(error['message'])}[/]")
    for field in ("found", "command"):
        if field in error:
            _line("", f"[dim]{field}[/] {escape(typed(error[field]))}")


def _show(result: dict[str, Any]) -> None:
    _line("samstudio", result["samstudio"])
    part = result["label_studio"]
    if "error" in part:
        _failure("Label Studio", part["error"])
    else:
        _line("Label Studio", f"{part['version']}, {part['health']}, {part['url']}")
        _line("", f"[dim]the backend reaches it at {part['internal_url']}[/]")
    if "error" in result["backend"]:
        _failure("backend", result["backend"]["error"])
    else:
        _show_backend(result["backend"])
    _show_fleet(result["backends"])
    _show_projects(result["projects"])
    if result["unfinished_restore"]:
        _line("restore", f"[red]{escape(result['unfinished_restore'])}[/]; {typed('samstudio restore --finish')}")
    for name in result["unfinished_rotation"]:
        ends = typed(f"sudo samstudio secrets rotate {name}")
        _line("secrets", f"[yellow]{name} is being replaced, or that was cut off[/]; {ends} ends it")
    if result["kept"]:
        ways = "samstudio rollback brings it back, samstudio rollback --forget removes it"
        _line("kept", f"{escape(result['kept'])}; {typed(ways)}")
    _show_backups(result["backups"])
    _show_certificate(result["certificate"])
    if base := result["base_image"]:
        _line("base image", f"{base['days']} days old ({base['container']}); ./samstudio upgrade --security renews it")
    _show_exports(result["exports"])
    sign_in = result["sign_in"]
    _line("open", f"[bold]{escape(sign_in['url'])}[/]")
    _line("sign in", f"as {escape(sign_in['email'])}; samstudio secrets show label_studio_admin_password")
    if not result["healthy"]:
        out.print(typed("[red]Not all is healthy.[/] samstudio doctor finds the cause and what mends it."))


def _show_fleet(part: dict[str, Any]) -> None:
    if "error" in part:
        _failure("backends", part["error"])
    for server in part.get("servers", []):
        colour = "green" if server["state"].startswith("UP") else "red"
        card = f", {server['card']}" if server["card"] else ""
        _line(f"{server['name']} ", f"[{colour}]{server['state']}[/], {server['address']}{escape(card)}")


def _show_certificate(part: dict[str, Any] | None) -> None:
    if part and part["ends"]:
        _line(
            "certificate",
            f"of {escape(part['domain'])}, good until {part['ends']}, by {escape(part['issuer'])}",
        )
    if part and part["wrong"]:
        _line("" if part["ends"] else "certificate", f"[red]{escape(part['wrong'])}[/]")


def _show_backups(part: dict[str, Any]) -> None:
    for name in ("backup", "rehearsal"):
        last = part[name]
        good = f"{_ago(last['good']['ended'])}, {_place(last['good'])}" if last["good"] else ""
        if last["error"]:
            when = f" {_ago(last['ended'])}" if last["ended"] else ""
            _line(name, f"[red]failed[/]{when}: {escape(last['error'])}")
            good = f"the last good one: {good}" if good else "there was no good one"
        _line("" if last["error"] else name, escape(good or "none yet"))
    for sentence in part["wrong"]:
        _line("", f"[red]{escape(sentence)}[/]; journalctl -u 'samstudio-*'")


def _show_exports(part: dict[str, Any]) -> None:
    if "error" in part:
        _failure("exports", part["error"])
    elif part["files"]:
        _line("exports", f"{part['files']} files, {_size(part['bytes'])}")


def _place(good: dict[str, str]) -> str:
    return f"{good['backup']} of {good['repository']}" if good["repository"] else good["backup"]


def _ago(moment: str) -> str:
    from samstudio.backup import history

    hours = history.age(moment).total_seconds() / 3600
    return f"{hours / 24:.0f} days ago" if hours >= 48 else f"{hours:.0f} hours ago"


def _show_projects(part: dict[str, Any]) -> None:
    if "error" in part:
        _failure("projects", part["error"])
    elif not part["connected"]:
        _line("projects", typed("[red]none is connected to the backend[/]; samstudio register connects one"))
    for project in part.get("connected", []):
        state = "connected" if project["state"] == "CO" else f"[red]{project['state']} {project['error'] or ''}[/]"
        _line(f"project {project['id']}", f"{escape(project['title'])}, {state}, {project['url']}")


def _show_backend(part: dict[str, Any]) -> None:
    model, engine, cache = part["model"], part["engine"], part["cache"]
    colour = "green" if part["state"] == "ready" else "red"
    _line("backend", f"[{colour}]{part['state']}[/], {part['url']}")
    _line("", f"[dim]Label Studio reaches it at {part['internal_url']}[/]")
    demo = "  [yellow]demo model: it knows drawn shapes and nothing else[/]" if model["demo"] else ""
    _line("model", f"{model['config']} {model['checkpoint']}{demo}")
    _line("engine", f"{engine['name']} on {engine['device']}, {engine['precision']}, {engine['image_size']} px")
    _line(
        "cache",
        f"{cache['memory_entries']} images in memory ({_size(cache['memory_bytes'])}), "
        f"{cache['disk_entries']} on disk ({_size(cache['disk_bytes'])})",
    )
    last = part["last_click"]
    if last:
        steps = ", ".join(f"{step} {took:.0f} ms" for step, took in last["milliseconds"].items())
        _line("last click", f"{last['at']}, embedding from {last['cache']}: {steps}")
    for error in part["last_errors"][:3]:
        _line("error", f"[red]{escape(error['at'] + ' ' + error['where'])}[/]: {escape(error['message'])}")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}"
        count /= 1000
    raise AssertionError
