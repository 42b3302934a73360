"""The ngrok agent, run by pyngrok without the three things that pyngrok does by itself.

pyngrok puts an authtoken it knows on the agent's command line, downloads an agent without a checksum where there is
none, and waits for ever for an agent that prints nothing. So: the token lives in a 0600 agent configuration that
pyngrok only knows the path of, a missing agent is an error, and a timer ends a silent one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import yaml
from pyngrok import ngrok, process
from pyngrok.conf import PyngrokConfig
from pyngrok.exception import PyngrokError, PyngrokNgrokError, PyngrokNgrokHTTPError
from pyngrok.log import NgrokLog

from samstudio.redact import redact
from samstudio.tunnel.failures import AGENT_MISSING, TunnelError, explain

ENDPOINT = "sam2-backend"


class Agent:
    """One agent process with one endpoint. Use as a context manager: leaving ends the process and its configuration."""

    def __init__(
        self, executable: str, authtoken: str, *, heard: Callable[[str], None], startup_seconds: int = 20
    ) -> None:
        """``heard`` gets every line that the agent prints, the authtoken taken out."""
        self._executable = shutil.which(executable)
        if self._executable is None:
            raise TunnelError(AGENT_MISSING, agent=executable)
        self._authtoken = authtoken
        self._heard = heard
        self._last_words = "none"
        self._folder = Path(tempfile.mkdtemp(prefix="samstudio-tunnel-"))
        self._config = PyngrokConfig(
            ngrok_path=self._executable,
            config_path=str(_agent_configuration(self._folder, authtoken)),
            log_event_callback=self._hear,
            startup_timeout=startup_seconds,
            request_timeout=15,  # opening an endpoint is a round trip to the cloud
        )
        self._config.auth_token = None
        _silence_pyngrok()

    def __enter__(self) -> Agent:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(PyngrokError, OSError):
            for tunnel in self._tunnels():
                ngrok.disconnect(tunnel.public_url or "", self._config)
        ngrok.kill(self._config)
        shutil.rmtree(self._folder, ignore_errors=True)

    def open(self, upstream: str, url: str | None = None) -> str:
        """Start the agent if need be and open the endpoint; returns its public URL.

        Raises:
            TunnelError: whatever the agent or ngrok said, explained.
        """
        if self.url() is None:
            ngrok.kill(self._config)  # an agent that lost its endpoint, or answers no more, starts afresh
        silence = threading.Timer(self._config.startup_timeout + 2, self._end_silent_agent)
        silence.start()
        try:
            tunnel = ngrok.connect(
                upstream, name=ENDPOINT, pyngrok_config=self._config, **({"url": url} if url else {})
            )
        except PyngrokNgrokHTTPError as error:
            raise self._explained(error.body) from error
        except PyngrokNgrokError as error:
            raise self._explained(error.ngrok_error or str(error)) from error
        except (PyngrokError, OSError) as error:
            raise self._explained(str(error)) from error
        finally:
            silence.cancel()
        return str(tunnel.public_url)

    @property
    def process(self) -> int:
        """The agent's process id; 0 when none was started or it has ended."""
        running = process._current_processes.get(self._config.ngrok_path)
        return int(running.proc.pid) if running is not None else 0

    def url(self) -> str | None:
        """The endpoint's public URL now; None when the agent has ended or lost the endpoint."""
        with contextlib.suppress(PyngrokError, OSError):
            return next((str(tunnel.public_url) for tunnel in self._tunnels()), None)
        return None

    def _tunnels(self) -> list[ngrok.NgrokTunnel]:
        # asking pyngrok for the tunnels of an agent that has ended would start another one
        if not process.is_process_running(self._config.ngrok_path):
            return []
        return [tunnel for tunnel in ngrok.get_tunnels(self._config) if tunnel.name == ENDPOINT]

    def _end_silent_agent(self) -> None:
        # pyngrok holds its lock while it waits for a line, so its own kill() would wait as well
        running = process._current_processes.get(self._config.ngrok_path)
        if running is not None:
            running.proc.kill()

    def _hear(self, log: NgrokLog) -> None:
        self._last_words = redact(log.line, [self._authtoken])
        self._heard(self._last_words)

    def _explained(self, words: str) -> TunnelError:
        facts = {
            "agent": self._executable,
            "seconds": self._config.startup_timeout,
            "last_words": self._last_words,
            "file": "/etc/samstudio/secrets/ngrok_authtoken",
        }
        return explain(redact(words, [self._authtoken]), facts)


def _agent_configuration(folder: Path, authtoken: str) -> Path:
    file = folder / "ngrok.yml"
    content = {"version": "3", "agent": {"authtoken": authtoken, "update_check": False}}
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
        yaml.safe_dump(content, written)
    return file


def _silence_pyngrok() -> None:
    """pyngrok logs the agent's lines as they are, and ngrok prints a token that it refuses."""
    logging.getLogger("pyngrok.process.ngrok").disabled = True
