"""What the running tunnel tells others on this host: its address and its process, in a file that anyone may read."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from samstudio import files
from samstudio.processes import started_at

DEFAULT_STATE = Path("/var/lib/samstudio/tunnel/state.json")
TIMEOUT = httpx.Timeout(10.0, connect=5.0)


@dataclass(frozen=True)
class TunnelState:
    """A tunnel that was opened. ``opened_at`` is UTC, ISO 8601; ``label_studio`` is whom the address is for, if anyone.

    ``process`` and ``process_started`` (clock ticks since the machine's start) name the process that keeps it;
    ``agent`` and ``agent_started`` name ngrok's, which outlives one that is killed.
    """

    url: str
    backend: str
    opened_at: str
    label_studio: str | None = None
    registered: bool = False
    process: int = 0
    process_started: int = 0
    agent: int = 0
    agent_started: int = 0

    def write(self, file: Path) -> None:
        """
        Raises:
            OSError: the file cannot be written.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write(file, json.dumps(asdict(self), indent=2) + "\n", mode=0o644)

    @property
    def is_kept(self) -> bool:
        """Whether the process that opened it still runs; one killed without warning leaves its file behind."""
        return self.process in self.running

    @property
    def running(self) -> list[int]:
        """Those of its processes that still run."""
        named = ((self.process, self.process_started), (self.agent, self.agent_started))
        return [process for process, started in named if process and 0 < started == started_at(process)]

    def answer(self) -> str:
        """What is wrong with the public address; "" when a backend answers there.

        ngrok shows browsers of its free plan a warning page; the header says that this is none.
        """
        try:
            answered = httpx.get(f"{self.url}/health", timeout=TIMEOUT, headers={"ngrok-skip-browser-warning": "1"})
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        return "" if answered.status_code == httpx.codes.OK else f"it answers /health with {answered.status_code}"


def read_state(file: Path) -> TunnelState | None:
    """The tunnel that was opened last, or None where there is none (or the file is not ours)."""
    try:
        return TunnelState(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def forget_state(file: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        file.unlink()
