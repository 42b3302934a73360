"""The two servers that a command works with."""

from __future__ import annotations

from dataclasses import dataclass, field

from samstudio.backend_client import Backend
from samstudio.labelstudio import LabelStudio


@dataclass(frozen=True)
class Connected:
    """A Label Studio and the backend for it.

    Attributes:
        fleet: the backends behind that one when it is a balancer.
        password: the backend's.
    """

    studio: LabelStudio
    backend: Backend
    fleet: tuple[Backend, ...]
    password: str = field(repr=False)
