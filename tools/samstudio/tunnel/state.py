"""What the running tunnel tells others on this host: its address, in a file that anyone may read."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

DEFAULT_STATE = Path("/var/lib/samstudio/tunnel/state.json")


@dataclass(frozen=True)
class TunnelState:
    """An open tunnel. ``opened_at`` is UTC, ISO 8601; ``label_studio`` is whom the address is for, if anyone."""

    url: str
    backend: str
    opened_at: str
    label_studio: str | None = None
    registered: bool = False

    def write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        written = file.with_suffix(".new")
        written.write_text(json.dumps(asdict(self), indent=2) + "\n")
        written.chmod(0o644)
        written.replace(file)


def read_state(file: Path) -> TunnelState | None:
    """The open tunnel, or None where there is none (or the file is not ours)."""
    try:
        return TunnelState(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def forget_state(file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        file.unlink()
