"""`python -m sam2_backend`: one process, one device, one port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Iterator

import uvicorn

from sam2_backend.backend import Backend
from sam2_backend.http import reason_phrase
from sam2_backend.http.application import application
from sam2_backend.logs import configure, fields
from sam2_backend.model.loading import ModelRefused, model_files
from sam2_backend.settings import Settings, SettingsError, from_environment

REFUSED, FAILED = 2, 1
# How long the reason can be read at /health before the process ends, and the container is started again.
TELL_SECONDS = 5
log = logging.getLogger("sam2_backend")


def main() -> int:
    try:
        settings = from_environment()
        configure(settings.log_level)
        model_files(settings)
    except (SettingsError, ModelRefused) as error:
        sys.stderr.write(f"sam2-backend does not start: {error}\n")
        return REFUSED
    if settings.workers > 1:
        log.warning("WORKERS=%d: one process serves a device; run one container for each device", settings.workers)
    return asyncio.run(_serve(settings))


class _Server(uvicorn.Server):
    """Ends with exit status 0 after SIGTERM; uvicorn's own would raise the signal again after draining."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for caught in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(caught, self.handle_exit, caught, None)
        yield


async def _serve(settings: Settings) -> int:
    backend = Backend(settings)
    reason_phrase.install()
    server = _Server(
        uvicorn.Config(
            application(backend),
            host=settings.host,
            port=settings.port,
            http="httptools",
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=int(settings.limits.drain_seconds),
        )
    )

    async def end_when_nothing_is_served() -> None:
        await backend.ended.wait()
        await asyncio.sleep(TELL_SECONDS)
        server.should_exit = True

    auth = bool(settings.basic_auth_user)
    log.info("starting", extra=fields(port=settings.port, device=settings.device, basic_auth=auth))
    watcher = asyncio.create_task(end_when_nothing_is_served())
    await server.serve()
    watcher.cancel()
    if isinstance(backend.fatal, ModelRefused):
        sys.stderr.write(f"sam2-backend does not start: {backend.fatal}\n")
        return REFUSED
    return 0 if server.started and not backend.ended.is_set() else FAILED


if __name__ == "__main__":
    sys.exit(main())
