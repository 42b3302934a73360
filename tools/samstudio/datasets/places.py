"""Where Label Studio has a dataset's images from: a folder that it serves already, or uploads.

A deployed Label Studio serves two folders of its host; images in these are neither copied nor moved, and the backend
reads them there as well. All other images are uploaded, which works with every Label Studio, wherever it runs. Both
tell an image that has a task already by the task's address alone.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import parse_qs, quote, urlsplit

from samstudio.datasets.pictures import Picture
from samstudio.deployment import Deployment
from samstudio.labelstudio import LabelStudio, projects, storage

LOCAL_FILES = "/data/local-files/?d="
#: Tasks in one request; Label Studio takes 100 files, and a request of 250 MB.
BATCH, BATCH_BYTES = 50, 48 << 20
#: What an upload is called: eight digits that Label Studio puts in front, the file's own digits, and its name.
UPLOADED = re.compile(r"/[0-9a-f]{8}-([0-9a-f]{16})-[^/]*$")
NAME_LENGTH = 40


class Place(Protocol):
    """How images become tasks; `said` is the word for it."""

    @property
    def said(self) -> str: ...

    def key(self, picture: Picture) -> str:
        """What tells an image from all others in this place."""

    def key_of(self, address: str) -> str:
        """The key of the image at a task's address, "" for an address of another kind."""

    def prepare(self, studio: LabelStudio, project: int) -> None:
        """Before the first image."""

    def send(self, studio: LabelStudio, project: int, data_key: str, pictures: Sequence[Picture]) -> None:
        """Make a task of each of a batch's images, all of them or none."""


@dataclass(frozen=True)
class Served:
    """inside: the folder as Label Studio has it, below its document root; prefix: the path of Label Studio's address.

    A storage in the project is what lets people see the files. It is never synchronised, which would make second tasks.
    """

    inside: PurePosixPath
    root: PurePosixPath
    prefix: str
    said: str = "served from their folder"

    def key(self, picture: Picture) -> str:
        return str((self.inside / picture.file).relative_to(self.root))

    def key_of(self, address: str) -> str:
        parts = urlsplit(address)
        named = parse_qs(parts.query).get("d", [""])[0] if parts.path.rstrip("/").endswith("/data/local-files") else ""
        return named.lstrip("/")

    def prepare(self, studio: LabelStudio, project: int) -> None:
        if storage.existing(studio, project, self.inside) is None:
            storage.create(studio, project, self.inside)

    def send(self, studio: LabelStudio, project: int, data_key: str, pictures: Sequence[Picture]) -> None:
        addresses = (f"{self.prefix}{LOCAL_FILES}{quote(self.key(picture))}" for picture in pictures)
        projects.import_tasks(studio, project, [{data_key: address} for address in addresses])


@dataclass(frozen=True)
class Uploads:
    said: str = "uploaded"

    def key(self, picture: Picture) -> str:
        return hashlib.sha256(picture.file.encode()).hexdigest()[:16]

    def key_of(self, address: str) -> str:
        found = UPLOADED.search(urlsplit(address).path)
        return found[1] if found else ""

    def prepare(self, studio: LabelStudio, project: int) -> None:
        """There is nothing to prepare."""

    def send(self, studio: LabelStudio, project: int, data_key: str, pictures: Sequence[Picture]) -> None:
        projects.upload_named(studio, project, {self._name(picture): picture.path for picture in pictures})

    def _name(self, picture: Picture) -> str:
        stem = re.sub(r"[^A-Za-z0-9]+", "-", picture.path.stem)[:NAME_LENGTH]
        return f"{self.key(picture)}-{stem}{picture.path.suffix.lower()}"


def of(folder: Path, deployment: Deployment) -> Place:
    """The place of the images in a folder."""
    images = deployment.images
    seen = {"samples": images.host_root / "samples", "user": Path(images.user or images.host_root / "user")}
    for name, outside in seen.items() if deployment.described else ():
        if folder.resolve().is_relative_to(outside.resolve()):
            root = PurePosixPath(images.container_root)
            inside = root / name / folder.resolve().relative_to(outside.resolve())
            return Served(inside, root, urlsplit(deployment.label_studio.public_url).path.rstrip("/"))
    return Uploads()


def batches(pictures: Sequence[Picture]) -> Iterator[list[Picture]]:
    batch: list[Picture] = []
    for picture in pictures:
        if batch and (len(batch) == BATCH or sum(each.bytes for each in batch) + picture.bytes > BATCH_BYTES):
            yield batch
            batch = []
        batch.append(picture)
    if batch:
        yield batch
