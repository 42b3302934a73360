"""Label Studio's container: stopped, started, and waited for with patience."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

from samstudio import containers
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.labelstudio import LabelStudioError, api_errors, label_studio_client

#: for requests that are under way
STOP_SECONDS = 60
#: A slow disk, a long check of the database at start: giving up early would take a good restore back.
READY_SECONDS = 1800
POLL_SECONDS = 2.0
#: how often the engine may start it again before it is taken for broken
RESTARTS = 5
TELL_EVERY = 15


def running(deployment: Deployment) -> bool:
    return str(_container(deployment).status) in ("running", "restarting")


def stop(deployment: Deployment) -> None:
    """A container that is not there does not run."""
    if containers.exists(deployment.label_studio.container):
        container = _container(deployment)
        with containers.engine_errors():
            container.stop(timeout=STOP_SECONDS)


def start(deployment: Deployment) -> None:
    container = _container(deployment)
    with containers.engine_errors():
        container.start()


def restart(deployment: Deployment) -> None:
    """Requests that are under way end first. The engine does both halves, whatever becomes of this process."""
    container = _container(deployment)
    with containers.engine_errors():
        container.restart(timeout=STOP_SECONDS)


def wait(deployment: Deployment, say: Callable[[str], None]) -> None:
    """Return once Label Studio answers.

    Raises:
        SamstudioError: it does not within READY_SECONDS, or its container ends again and again.
    """
    began = time.monotonic()
    told = 0.0
    restarts = _restarts(deployment)
    while True:
        waited = time.monotonic() - began
        try:
            with label_studio_client(deployment.label_studio.url, timeout=10.0) as client, api_errors("wait for it"):
                client.get("/health/").raise_for_status()
                return
        except LabelStudioError as error:
            ended = not running(deployment) or _restarts(deployment) > restarts + RESTARTS
            if waited > READY_SECONDS or ended:
                raise SamstudioError(
                    "Label Studio does not come up.",
                    link="label-studio",
                    found=f"after {waited:.0f} s: {error.found or error.message}",
                    expected="/health/ to answer",
                    command=f"docker logs --tail 50 {deployment.label_studio.container}",
                ) from error
        if waited - told > TELL_EVERY:
            told = waited
            say(f"waiting for Label Studio since {waited:.0f} s")
        time.sleep(POLL_SECONDS)


def version(deployment: Deployment) -> str:
    """The version of the Label Studio that runs; where it does not, what was deployed."""
    try:
        with label_studio_client(deployment.label_studio.url, timeout=10.0) as client, api_errors("ask its version"):
            return str(client.get("/api/version").raise_for_status().json()["release"])
    except SamstudioError:
        return deployment.label_studio.version


def images(names: list[str]) -> dict[str, dict[str, Any]]:
    """Of each of these containers that is there: `tags` and `id` of its image; nothing where no engine answers."""
    found = {}
    with contextlib.suppress(SamstudioError), containers.engine_errors():
        for each in containers.engine().containers.list(all=True, ignore_removed=True):
            if each.name in names:
                found[each.name] = {"tags": tuple(each.image.tags), "id": each.image.id}
    return found


def _restarts(deployment: Deployment) -> int:
    return int(_container(deployment).attrs["RestartCount"])


def _container(deployment: Deployment) -> Any:
    return containers.named(deployment.label_studio.container, tags="label_studio")
