"""What a deployment leaves behind for the panel at its end: `/var/lib/samstudio/last-deploy.json`, no secrets, 0644.

`samstudio click --summary FILE` writes it:

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

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from samstudio import files
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.secret_store import ADMIN_PASSWORD

PATH = Path("/var/lib/samstudio/last-deploy.json")


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
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
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


def write(summary: dict[str, Any], path: Path) -> None:
    """Replace the summary at once.

    Raises:
        SamstudioError: the folder cannot be written.
    """
    try:
        files.write(path, json.dumps(summary, indent=1), mode=0o644)
    except OSError as error:
        raise SamstudioError(
            f"{path} cannot be written.",
            found=str(error),
            expected="a writable folder",
            command=f"ls -ld {path.parent}",
        ) from error


def read(path: Path = PATH, *, newer_than: float = 0.0) -> dict[str, Any] | None:
    """The summary, unless there is none or it is older than a deployment that just ended.

    Args:
        newer_than: seconds since the epoch.

    Raises:
        SamstudioError: it is there and is no JSON object.
    """
    try:
        if path.stat().st_mtime < newer_than:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SamstudioError(f"{path} cannot be read.", found=str(error), command="./samstudio deploy") from error
    if not isinstance(found, dict):
        raise SamstudioError(f"{path} is no JSON object.", found=str(found)[:80], command="./samstudio deploy")
    return found


def panel(summary: dict[str, Any]) -> Panel:
    studio, backend, project = summary["label_studio"], summary["backend"], summary["project"]
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("open", f"[bold]{escape(project['url'])}[/]")
    table.add_row("sign in", f"{escape(studio['admin_email'])}, password in {escape(studio['password_file'])}")
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


def _verified(verified: dict[str, Any]) -> str:
    iou, took = verified["iou"], verified["milliseconds"]
    count = len(verified["clicks"])
    return f"{count} clicks through Label Studio, IoU min {iou['min']:.2f}, median {took['median']:.0f} ms"
