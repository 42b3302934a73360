"""What a deployment ends with: where to go, and what was proven. No secrets.

`samstudio click --summary` adds it to its JSON, and the playbook hands it to the one who deploys:

    {
      "finished": "2026-11-22T10:00:00Z",
      "label_studio": {"url": "http://127.0.0.1:8080", "version": "1.23.2", "admin_email": "…", "password_file": "…"},
      "backend": {"model": "sam2.1_hiera_tiny", "device": "cpu", "demo": false},
      "project": {"id": 1, "title": "…", "url": "…"},
      "verified": {"iou": {"min": 0.9, "mean": 0.95}, "clicks": [...],    as `samstudio click --json` gives them
                   "milliseconds": {"first": 900, "median": 80, "max": 900}}
    }
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from samstudio import moments
from samstudio.deployment import Deployment
from samstudio.secret_store import ADMIN_PASSWORD


def compose(
    deployment: Deployment, *, version: str, status: dict[str, Any], title: str, verified: dict[str, Any]
) -> dict[str, Any]:
    """The summary.

    Args:
        version: Label Studio's.
        status: the backend's GET /status.
        verified: what `samstudio.verification.click_samples` returned.
    """
    url, number = deployment.label_studio.public_url or deployment.label_studio.url, verified["project"]
    return {
        "finished": moments.now(),
        "label_studio": {
            "url": url,
            "version": version,
            "admin_email": deployment.label_studio.admin_email,
            "password_file": str(deployment.secrets_dir / ADMIN_PASSWORD),
        },
        "backend": {
            "model": status["model"]["checkpoint"],
            "device": status["engine"]["device"],
            "demo": status["model"]["demo"],
        },
        "project": {"id": number, "title": title, "url": f"{url}/projects/{number}/data"},
        "verified": {name: verified[name] for name in ("iou", "clicks", "milliseconds")},
    }


def panel(summary: dict[str, Any], host: str = "") -> Panel:
    """
    Args:
        host: where Label Studio was deployed, "" for this machine.
    """
    studio, backend, project = summary["label_studio"], summary["backend"], summary["project"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    port = _loopback_port(studio["url"])
    if host and port:
        table.add_row("connect", escape(f"ssh -L {port}:localhost:{port} {host}"))
    table.add_row("open", f"[bold]{escape(project['url'])}[/]")
    there = f" on {host}" if host else ""
    table.add_row("sign in", escape(f"{studio['admin_email']}, password in {studio['password_file']}{there}"))
    table.add_row("Label Studio", f"{studio['version']} at {escape(studio['url'])}")
    table.add_row("model", f"{escape(backend['model'])} on {escape(backend['device'])}")
    table.add_row("verified", _verified(summary["verified"]))
    table.add_row("next", "switch on Auto-Annotation, choose a label, press M, click the object")
    notes = ["[yellow]note[/] the demo model knows drawn shapes only; see README for the official weights"]
    return Panel(
        Group(table, *(notes if backend["demo"] else ())),
        title="SAM2 behind Label Studio",
        border_style="green",
        expand=False,
    )


def _loopback_port(url: str) -> int | None:
    """The port of an address that only the machine itself reaches."""
    parts = urlsplit(url)
    return parts.port if parts.hostname in ("localhost", "127.0.0.1", "::1") else None


def _verified(verified: dict[str, Any]) -> str:
    iou, took = verified["iou"], verified["milliseconds"]
    count = len(verified["clicks"])
    return f"{count} clicks through Label Studio, IoU min {iou['min']:.2f}, median {took['median']:.0f} ms"
