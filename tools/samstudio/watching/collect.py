"""Everything that is told, and in words what of it is wrong. What cannot be looked at is told as the worst."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from samstudio import containers
from samstudio.backup import history, manifest
from samstudio.deployment import INTERNAL_CA, Deployment
from samstudio.errors import SamstudioError
from samstudio.labelstudio import LabelStudio, api_errors, label_studio_client
from samstudio.watching import certificates, clicks
from samstudio.watching.exposition import Sample

UP = "samstudio_label_studio_up"
LAST_GOOD = {kind: f"samstudio_{kind.value}_last_good_timestamp_seconds" for kind in history.Kind}
FAILED = {kind: f"samstudio_{kind.value}_failed" for kind in history.Kind}
BYTES = "samstudio_backup_last_good_bytes"
SINCE = "samstudio_backups_scheduled_since_timestamp_seconds"
BEGIN = "samstudio_certificate_begin_timestamp_seconds"
END = "samstudio_certificate_end_timestamp_seconds"
BUILT = "samstudio_image_built_timestamp_seconds"

HELPS = {
    UP: "Whether Label Studio answers that it is up.",
    **clicks.HELPS,
    LAST_GOOD[history.Kind.BACKUP]: "When the last good backup ended; 0 for never.",
    FAILED[history.Kind.BACKUP]: "Whether the last backup failed.",
    BYTES: "What the last good backup holds; not told of one in a restic repository.",
    LAST_GOOD[history.Kind.REHEARSAL]: "When the last good rehearsal of a restore ended; 0 for never.",
    FAILED[history.Kind.REHEARSAL]: "Whether the last rehearsal of a restore failed.",
    SINCE: "Since when backups are made by a timer; 0 where they are not.",
    BEGIN: "From when a certificate is valid; 0 where that cannot be told.",
    END: "Until when a certificate is valid; 0 where that cannot be told.",
    BUILT: "When the image of a container was built on this host; 0 where that cannot be told.",
}


def collect(
    found: Deployment, connect: Callable[[], LabelStudio], password: Callable[[], str], before: list[Sample]
) -> tuple[list[Sample], list[str]]:
    """Look at everything once.

    Args:
        before: what was told the last time.

    Returns:
        samples of all metrics in `HELPS`, and sentences about what is wrong.
    """
    samples, wrong = _label_studio(found)
    for told, said in (
        clicks.probe(found, connect, password, before),
        _backups(found),
        _certificates(found),
        _images(found),
    ):
        samples += told
        wrong += said
    return samples, wrong


def _label_studio(found: Deployment) -> tuple[list[Sample], list[str]]:
    try:
        with label_studio_client(found.label_studio.url, timeout=10.0) as client, api_errors("reach Label Studio"):
            health = client.get("/health/").raise_for_status().json()["status"]
    except (SamstudioError, httpx.HTTPError, ValueError, KeyError) as error:
        return [Sample(UP, 0)], [f"Label Studio: {_said(error)}"]
    return [Sample(UP, float(health == "UP"))], [] if health == "UP" else [f"Label Studio says of itself: {health}"]


def _backups(found: Deployment) -> tuple[list[Sample], list[str]]:
    samples, wrong = [], []
    for kind in history.Kind:
        last = history.read(found.config_dir, kind)
        ended = datetime.fromisoformat(last.good.ended).timestamp() if last.good else 0
        samples += [Sample(LAST_GOOD[kind], ended), Sample(FAILED[kind], float(bool(last.error)))]
        wrong += [f"the last {kind.value} failed: {last.error}"] if last.error else []
        if kind is history.Kind.BACKUP and last.good and not last.good.repository:
            try:
                samples.append(Sample(BYTES, manifest.read(Path(last.good.backup)).bytes))
            except SamstudioError as error:
                wrong.append(f"the last good backup: {_said(error)}")
    timer = Path(found.backups.timer) if found.backups.timer else None
    return [*samples, Sample(SINCE, timer.stat().st_mtime if timer and timer.exists() else 0)], wrong


def _certificates(found: Deployment) -> tuple[list[Sample], list[str]]:
    samples: list[Sample] = []
    wrong: list[str] = []
    for name, look in _lookable(found):
        try:
            begin, end = look()
        except SamstudioError as error:
            begin, end = 0, 0
            wrong.append(f"certificate {name}: {_said(error)}")
        samples += [Sample(BEGIN, begin, {"certificate": name}), Sample(END, end, {"certificate": name})]
    return samples, wrong


def _lookable(found: Deployment) -> Iterator[tuple[str, Callable[[], tuple[float, float]]]]:
    """Each certificate's name, and how its validity is found."""
    if found.tls.address:
        host = urlsplit(found.label_studio.public_url).hostname or ""
        yield "label-studio", functools.partial(certificates.served, found.tls.address, host)
    for name, file in (("label-studio-ca", INTERNAL_CA), ("database", "label-studio-secrets/database.crt")):
        path = found.config_dir / file
        if path.exists():
            yield name, functools.partial(certificates.in_file, path)


def _images(found: Deployment) -> tuple[list[Sample], list[str]]:
    samples: list[Sample] = []
    wrong: list[str] = []
    database = [found.database.container] if found.database.kind == "postgresql" and not found.database.host else []
    for name in (found.label_studio.container, found.backend.container, *database):
        try:
            built = containers.built(name)
        except SamstudioError as error:
            built = 0
            wrong.append(f"container {name}: {_said(error)}")
        samples.append(Sample(BUILT, built, {"container": name}))
    return samples, wrong


def _said(error: Exception) -> str:
    return f"{error.message} {error.found}".strip() if isinstance(error, SamstudioError) else str(error)
