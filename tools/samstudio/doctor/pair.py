"""The Label Studio and the backend that are examined, and how each is reached."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samstudio import balancer, base_image
from samstudio.addresses import normalise
from samstudio.balancer import Balancer
from samstudio.deployment import Deployment, TlsSettings
from samstudio.doctor.probes import container_environment, environment_of_listener
from samstudio.labelstudio import own_records
from samstudio.labelstudio.own_records import OwnRecords
from samstudio.tunnel.state import DEFAULT_STATE

#: Label Studio's command line (words end with a NUL): its own command, a server told its folder, or manage.py.
LABEL_STUDIO = r"/label[-_]studio(\0|/manage\.py|$)"


@dataclass(frozen=True)
class Pair:
    """Containers are "" where the two run without any."""

    label_studio: str
    """Label Studio's URL as this machine uses it."""
    backend: str
    """The backend's URL as this machine uses it."""
    wanted: str
    """The backend's URL as Label Studio should use it."""
    studio_internal: str
    """Label Studio's URL as the backend should use it."""
    own_records: OwnRecords
    """Which ML backend records are this backend's, whatever address they have."""
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    project: int | None = None
    title: str = ""
    studio_container: str = ""
    backend_container: str = ""
    address: str = ""
    """The backend's IP address, where it is known; else the URL's host is resolved."""
    data: Path = Path("/var/lib/samstudio")
    tunnel_state: Path = DEFAULT_STATE
    register: str = "samstudio register"
    """What connects this very pair."""
    balancer: Balancer | None = None
    """What stands before the backends of a fleet."""
    containers: list[str] = field(default_factory=list)
    """Those of this host that are made of our images, where they are there."""
    tls: TlsSettings | None = None
    """What stands before a deployed Label Studio, if anything does."""

    @property
    def by_hand(self) -> bool:
        return not self.studio_container

    @property
    def secrets(self) -> list[str]:
        return [self.password, self.token]

    def facts(self, project: int | None = None) -> dict[str, object]:
        """What fills a cause's placeholders unless a check knows better."""
        number = self.project if project is None else project
        at = f" --project {number}" if number is not None else ""
        known = {
            "backend_url": self.wanted,
            "url": self.backend,
            **_host_and_port(self.wanted),
            "who": "Label Studio",
            "container": self.backend_container,
            "studio_container": self.studio_container,
            "register": self.register + at,
            "register_at": re.sub(r" --backend-url \S+", "", self.register) + at,
            "register_new": self.register,
            "label_studio_url": self.studio_internal,
            "project": number,
        }
        return {name: value for name, value in known.items() if value not in (None, "")}

    def studio_environment(self) -> dict[str, str] | None:
        """Label Studio's own environment, where this machine can see it."""
        if self.studio_container:
            return container_environment(self.studio_container)
        return environment_of_listener(self.label_studio, program=LABEL_STUDIO)

    def backend_environment(self) -> dict[str, str] | None:
        if self.backend_container:
            return container_environment(self.backend_container)
        return environment_of_listener(self.backend)


def deployed(deployment: Deployment, *, token: str, password: str, **more: Any) -> Pair:
    """The pair that deployment.yml describes."""
    studio, backend = deployment.label_studio, deployment.backend
    return Pair(
        studio.url,
        backend.url,
        wanted=backend.internal_url,
        studio_internal=studio.internal_url,
        own_records=own_records.of(deployment),
        user=backend.basic_auth_user,
        password=password,
        token=token,
        title=deployment.project.title,
        studio_container=studio.container,
        backend_container=backend.container,
        address=backend.address,
        data=deployment.images.host_root,
        balancer=balancer.before(deployment),
        containers=base_image.containers_of(deployment),
        tls=deployment.tls,
        **more,
    )


def by_hand(
    deployment: Deployment, *, token: str, password: str, register: str, backend: str = "", **more: Any
) -> Pair:
    """A pair without our containers: each address is good for everyone, unless this machine has another ``backend``."""
    studio, wanted = deployment.label_studio.url, deployment.backend.internal_url
    return Pair(
        studio,
        backend or wanted,
        wanted=wanted,
        studio_internal=studio,
        own_records=own_records.of(deployment),
        user=deployment.backend.basic_auth_user,
        password=password,
        token=token,
        data=Path.cwd(),
        register=register,
        **more,
    )


def _host_and_port(url: str) -> dict[str, object]:
    try:
        place = normalise(url)
    except ValueError:
        return {}
    return {"host": place.host, "port": place.port}
