"""Where a deployment describes itself: `deployment.yml`, and beside it the folder of secrets."""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from samstudio.errors import SamstudioError

CONFIG_DIR_VARIABLE = "SAMSTUDIO_CONFIG_DIR"
DEFAULT_CONFIG_DIR = Path("/etc/samstudio")
#: beside deployment.yml where the TLS proxy has a CA of its own
INTERNAL_CA = "label-studio-ca.crt"
#: the roles may write more than these tools read
_READ = ConfigDict(extra="ignore", coerce_numbers_to_str=True)


@dataclass(frozen=True, config=_READ)
class LabelStudioSettings:
    version: str = ""
    container: str = "label-studio"
    #: how the tools and a person on this host reach it
    url: str = "http://127.0.0.1:8080"
    #: how the backend reaches it
    internal_url: str = "http://label-studio:8080"
    #: what people type; "" where that is `url`
    public_url: str = ""
    admin_email: str = "admin@samstudio.local"
    #: its folder on this host: uploads, exports and, with SQLite, the database
    data: Path = Path("/var/lib/samstudio/label-studio")


@dataclass(frozen=True, config=_READ)
class DatabaseSettings:
    #: "sqlite" or "postgresql"
    kind: str = "sqlite"
    #: PostgreSQL's
    container: str = "label-studio-database"
    #: the host of the inventory that runs it, "" for Label Studio's own
    host: str = ""


@dataclass(frozen=True, config=_READ)
class BackendSettings:
    container: str = "sam2-backend"
    #: how this host reaches it
    url: str = "http://172.30.9.20:9090"
    #: how Label Studio reaches it
    internal_url: str = "http://sam2-backend:9090"
    address: str = "172.30.9.20"
    basic_auth_user: str = "label-studio"


@dataclass(frozen=True, config=_READ)
class BalancedBackend:
    """A backend of a fleet: its name at the balancer, its host in the inventory, its container there, its GPU."""

    name: str
    host: str = ""
    container: str = "sam2-backend"
    #: "NVIDIA L4 (GPU-…)", or "" on a CPU
    card: str = ""


@dataclass(frozen=True, config=_READ)
class BalancerSettings:
    """Of a fleet; without one, the backend's address is the backend's own."""

    #: HAProxy's admin socket
    socket: str = ""
    backends: tuple[BalancedBackend, ...] = ()


@dataclass(frozen=True, config=_READ)
class ProjectSettings:
    title: str = "SAM2 quick start"


@dataclass(frozen=True, config=_READ)
class ImageSettings:
    """Folders that both containers see. container_root: Label Studio's document root, which is host_root there."""

    host_root: Path = Path("/var/lib/samstudio/images")
    container_root: Path = Path("/data/images")
    #: the user's own folder on this host, which is `user` there; "" for the one below host_root
    user: str = ""


@dataclass(frozen=True, config=_READ)
class BackupSettings:
    #: the systemd timer that was asked for, "" for none
    timer: str = ""


@dataclass(frozen=True, config=_READ)
class TlsSettings:
    #: HOST:PORT of the TLS proxy as this host reaches it, "" without one
    address: str = ""


@dataclass(frozen=True, config=_READ)
class Deployment:
    """What was deployed on this host; the defaults are those of the quick start."""

    config_dir: Path
    label_studio: LabelStudioSettings = field(default_factory=LabelStudioSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    backend: BackendSettings = field(default_factory=BackendSettings)
    balancer: BalancerSettings = field(default_factory=BalancerSettings)
    project: ProjectSettings = field(default_factory=ProjectSettings)
    images: ImageSettings = field(default_factory=ImageSettings)
    backups: BackupSettings = field(default_factory=BackupSettings)
    tls: TlsSettings = field(default_factory=TlsSettings)
    #: whether a deployment.yml describes this pair
    described: bool = False

    @property
    def secrets_dir(self) -> Path:
        return self.config_dir / "secrets"


_chosen: ContextVar[Path | None] = ContextVar("config_dir", default=None)


def use(folder: Path | None) -> None:
    """From here on the configuration is in this folder; None for the environment's, or the default."""
    _chosen.set(folder)


def config_dir(override: Path | None = None) -> Path:
    return override or _chosen.get() or Path(os.environ.get(CONFIG_DIR_VARIABLE) or DEFAULT_CONFIG_DIR)


def load(override: Path | None = None) -> Deployment:
    """Read `deployment.yml`; a host without one gets the quick start's defaults.

    Raises:
        SamstudioError: the file is there and cannot be read or understood.
    """
    folder = config_dir(override)
    path = folder / "deployment.yml"
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return Deployment(config_dir=folder)
    except (OSError, yaml.YAMLError) as error:
        raise SamstudioError(
            f"{path} cannot be read.",
            found=str(error),
            expected="a YAML mapping as docs/architecture.md shows it",
            command="./samstudio deploy",
        ) from error
    if not isinstance(described, dict):
        raise SamstudioError(
            f"{path} is not a mapping.",
            found=type(described).__name__,
            expected="label_studio:, backend:, network:, project:, images:",
            command="./samstudio deploy",
        )
    given = {name: _without_gaps(values) for name, values in described.items() if values is not None}
    try:
        return _DEPLOYMENT.validate_python({**given, "config_dir": folder, "described": True})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SamstudioError(
            f"{place}: in {path} cannot be used.",
            found=f"{first['input']!r}: {first['msg']}",
            expected="what docs/architecture.md shows",
            command="./samstudio deploy",
        ) from error


def _without_gaps(values: Any) -> Any:
    """A key without a value means the default."""
    return {key: value for key, value in values.items() if value is not None} if isinstance(values, dict) else values


_DEPLOYMENT = TypeAdapter(Deployment)
