"""Whom the doctor looks at, and what it has learnt so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samstudio.addresses import normalise
from samstudio.deployment import Deployment
from samstudio.doctor.finding import Finding
from samstudio.doctor.processes import container_environment, environment_of_listener
from samstudio.tunnel.state import DEFAULT_STATE

if TYPE_CHECKING:
    from samstudio.labelstudio import LabelStudio
    from samstudio.labelstudio.label_config import LabelConfig

#: Label Studio's command line (words end with a NUL): its own command, a server told its folder, or manage.py.
LABEL_STUDIO = r"/label[-_]studio(\0|/manage\.py|$)"


@dataclass(frozen=True)
class Patient:
    """A pair to examine. Containers are "" where the two run by hand."""

    label_studio: str
    """Label Studio's URL as this machine uses it."""
    backend: str
    """The backend's URL as this machine uses it."""
    wanted: str
    """The backend's URL as Label Studio should use it."""
    studio_internal: str
    """Label Studio's URL as the backend should use it."""
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

    @property
    def by_hand(self) -> bool:
        return not self.studio_container

    @property
    def secrets(self) -> list[str]:
        return [self.password, self.token]


def deployed(deployment: Deployment, *, token: str, password: str, **more: Any) -> Patient:
    """The pair that deployment.yml describes."""
    studio, backend = deployment.label_studio, deployment.backend
    return Patient(
        studio.url, backend.url, wanted=backend.internal_url, studio_internal=studio.internal_url,
        user=backend.basic_auth_user, password=password, token=token, title=deployment.project.title,
        studio_container=studio.container, backend_container=backend.container, address=backend.address,
        data=deployment.images.host_root, **more,
    )  # fmt: skip


def elsewhere(
    deployment: Deployment, *, token: str, password: str, register: str, backend: str = "", **more: Any
) -> Patient:
    """A pair without our containers: each address is good for everyone, unless this machine has another ``backend``."""
    studio, wanted = deployment.label_studio.url, deployment.backend.internal_url
    return Patient(
        studio, backend or wanted, wanted=wanted, studio_internal=studio, user=deployment.backend.basic_auth_user,
        password=password, token=token, data=Path.cwd(), register=register, **more,
    )  # fmt: skip


@dataclass
class Examination:
    """The patient and what earlier links taught about it; later links build on that."""

    patient: Patient
    findings: list[Finding] = field(default_factory=list)
    health: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    version: str = ""
    studio: LabelStudio | None = None
    project: Any = None
    config: LabelConfig | None = None
    record: Any = None
    task: dict[str, Any] | None = None
    click_milliseconds: float | None = None

    def facts(self) -> dict[str, object]:
        """What fills placeholders unless a check knows better."""
        known: dict[str, object] = {
            "backend_url": self.patient.wanted,
            "url": self.patient.backend,
            **_host_and_port(self.patient.wanted),
            "who": "Label Studio",
            "container": self.patient.backend_container,
            "studio_container": self.patient.studio_container,
            "register": self._register(),
            "register_new": self.patient.register,
            "label_studio_url": self.patient.studio_internal,
            "project": self.project.id if self.project is not None else self.patient.project,
        }
        return {name: value for name, value in known.items() if value not in (None, "")}

    def _register(self) -> str:
        number = self.project.id if self.project is not None else self.patient.project
        return self.patient.register + (f" --project {number}" if number is not None else "")

    def label_studio(self) -> LabelStudio:
        """The authorised connection; there is one once the token link is ok."""
        assert self.studio is not None
        return self.studio

    def studio_environment(self) -> dict[str, str] | None:
        """Label Studio's own environment, where this machine can see it."""
        if self.patient.studio_container:
            return container_environment(self.patient.studio_container)
        return environment_of_listener(self.patient.label_studio, program=LABEL_STUDIO)

    def backend_environment(self) -> dict[str, str] | None:
        if self.patient.backend_container:
            return container_environment(self.patient.backend_container)
        return environment_of_listener(self.patient.backend)


def _host_and_port(url: str) -> dict[str, object]:
    try:
        place = normalise(url)
    except ValueError:
        return {}
    return {"host": place.host, "port": place.port}
