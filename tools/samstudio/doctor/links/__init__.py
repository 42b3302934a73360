"""The chain from the addresses that are written down to a click; a module holds checks, causes and mends."""

from __future__ import annotations

from samstudio.causes import Cause
from samstudio.doctor.link import Link
from samstudio.doctor.links import (
    backend,
    base_image,
    certificate,
    click,
    containers,
    fleet,
    host,
    label_studio,
    network,
    project,
    record,
    storage,
)

CHAIN: tuple[Link, ...] = (
    network.ADDRESSES,
    containers.ENGINE,
    containers.CONTAINERS,
    base_image.BASE_IMAGE,
    network.NETWORK,
    backend.BACKEND,
    backend.AUTH,
    backend.MODEL,
    fleet.BACKENDS,
    label_studio.LABEL_STUDIO,
    label_studio.HOST,
    certificate.CERTIFICATE,
    label_studio.TOKEN,
    label_studio.SSRF,
    project.PROJECT,
    project.LABEL_CONFIG,
    storage.STORAGE,
    record.ML_RECORD,
    record.WEBHOOK,
    record.INTERACTIVE,
    click.IMAGE,
    click.CLICK,
    click.LATENCY,
    host.TUNNEL,
    host.CLOCK,
    host.DISK,
    host.GPU,
)
CAUSES: tuple[Cause, ...] = tuple(cause for link in CHAIN for cause in link.causes)
MENDED_BY_FIX: frozenset[Cause] = frozenset(cause for link in CHAIN for cause in link.mended)


def link_of(cause: Cause) -> str:
    """The name of the link that a cause belongs to."""
    return next(link.name for link in CHAIN if cause in link.causes)
