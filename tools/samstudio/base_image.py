"""How old the Debian is that our images are built on: security updates come with another one alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from samstudio import containers
from samstudio.deployment import Deployment

#: role build_context writes the moment of the build into the base image, and every image on it inherits that
LABEL = "samstudio.base"
OLD_DAYS = 30


@dataclass(frozen=True)
class BaseImage:
    #: what is built on it
    container: str
    #: UTC
    built: datetime

    @property
    def age(self) -> timedelta:
        return datetime.now(timezone.utc) - self.built

    @property
    def old(self) -> bool:
        return self.age > timedelta(days=OLD_DAYS)


def of(container: str) -> BaseImage | None:
    """The one that a container of this name is built on; None where there is no such container.

    Raises:
        SamstudioError: the engine refused.
    """
    with containers.engine_errors():
        there = containers.found(container)
        if there is None:
            return None
        image = there.image
    return BaseImage(container, moment((image.labels or {}).get(LABEL) or image.attrs["Created"]))


def oldest(names: list[str]) -> BaseImage | None:
    """The oldest that a container of these names is built on; None where there is no such container.

    Raises:
        SamstudioError: the engine refused.
    """
    found = (of(name) for name in names)
    return min((each for each in found if each), key=lambda each: each.built, default=None)


def moment(written: str) -> datetime:
    """To the second: an engine writes nanoseconds, and with an offset where the host has one."""
    whole, offset = written[:19], "+00:00" if written.endswith("Z") else written[-6:]
    return datetime.fromisoformat(f"{whole}{offset}").astimezone(timezone.utc)


def containers_of(deployment: Deployment) -> list[str]:
    """The containers of this host that are made of our images."""
    names = [deployment.label_studio.container, deployment.backend.container]
    if deployment.database.kind == "postgresql" and not deployment.database.host:
        names.append(deployment.database.container)
    return [*names, deployment.tls.container] if deployment.tls.domain else names
