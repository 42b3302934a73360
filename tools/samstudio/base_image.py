"""How old the Debian is that our images are built on: security updates come with another one alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from docker.errors import NotFound

from samstudio import containers
from samstudio.deployment import Deployment

#: role build_context writes the moment of the build into the base image, and every image on it inherits that
LABEL = "samstudio.base"
OLD_DAYS = 30


@dataclass(frozen=True)
class BaseImage:
    #: whose base image is the oldest
    container: str
    #: UTC, ISO 8601
    built: str

    @property
    def days(self) -> int:
        """Its age."""
        return (datetime.now(timezone.utc) - datetime.fromisoformat(self.built.replace("Z", "+00:00"))).days

    @property
    def old(self) -> bool:
        return self.days > OLD_DAYS


def oldest(names: list[str]) -> BaseImage | None:
    """The oldest that a container of these names is made on; None where there is no such container.

    Raises:
        SamstudioError: the engine refused.
    """
    found = []
    with containers.engine_errors():
        engine = containers.engine()
        for name in names:
            try:
                image = engine.containers.get(name).image
            except NotFound:
                continue
            found.append(BaseImage(name, moment((image.labels or {}).get(LABEL) or image.attrs["Created"])))
    return min(found, key=lambda each: each.built, default=None)


def moment(written: str) -> str:
    """To the second: an engine writes nanoseconds, and with an offset where the host has one."""
    whole, offset = written[:19], "+00:00" if written.endswith("Z") else written[-6:]
    return datetime.fromisoformat(f"{whole}{offset}").astimezone(timezone.utc).isoformat()


def containers_of(deployment: Deployment) -> list[str]:
    """The containers of this host that are made of our images, where they are there."""
    names = (deployment.label_studio.container, deployment.backend.container)
    return [*names, deployment.database.container, deployment.tls.container]
