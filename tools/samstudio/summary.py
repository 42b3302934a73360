"""What a deployment leaves behind for the panel at its end: `/var/lib/samstudio/last-deploy.json`, no secrets, 0644.

    {
      "finished": "2026-11-22T10:00:00Z",
      "label_studio": {"url": "http://127.0.0.1:8080", "version": "1.23.2", "admin_email": "…", "password_file": "…"},
      "backend": {"model": "sam2.1_hiera_tiny", "device": "cpu", "demo": false},
      "project": {"id": 1, "title": "…", "url": "…"},                     what `samstudio register --json` gave
      "verified": {"iou": {"min": 0.9, "mean": 0.95}, "clicks": [...],    what `samstudio click --json` gave
                   "milliseconds": {"first": 900, "median": 80, "max": 900}},
      "notes": ["what the user should know, a sentence each"]
    }

`verified` may be null: a deployment that was not verified says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from samstudio.errors import SamstudioError

PATH = Path("/var/lib/samstudio/last-deploy.json")


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
    table.add_row("verified", _verified(summary.get("verified")))
    table.add_row("next", "switch on Auto-Annotation, choose a label, press M, click the object")
    notes = [f"[yellow]note[/] {escape(note)}" for note in summary.get("notes", [])]
    if backend["demo"]:
        notes.insert(0, "[yellow]note[/] the demo model knows drawn shapes only; see README for the official weights")
    return Panel(Group(table, *notes), title="SAM2 behind Label Studio", border_style="green", expand=False)


def _verified(verified: dict[str, Any] | None) -> str:
    if not verified:
        return "[yellow]no: run ./samstudio verify[/]"
    iou, took = verified["iou"], verified["milliseconds"]
    count = len(verified["clicks"])
    return f"{count} clicks through Label Studio, IoU min {iou['min']:.2f}, median {took['median']:.0f} ms"
