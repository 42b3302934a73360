"""S3 and what speaks its protocol: a bucket as the source of a project's images, and as the target of its annotations.

A storage of a project is known by bucket, prefix and endpoint; its title says nothing. Label Studio never tells the
keys of one, and writes whatever is sent to its validating endpoint with an id, so that is only asked without one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from samstudio.addresses import normalise
from samstudio.labelstudio.client import LabelStudio, LabelStudioError, api_errors
from samstudio.labelstudio.storage import PATTERN

SOURCE, TARGET = "source", "target"
#: what Label Studio's guard says
GUARDED = "reserved network address"
#: what Label Studio writes into its log instead of its answer, for endpoints that it does not know
IN_THE_LOG = "unrecognized S3 domain"


@dataclass(frozen=True)
class Keys:
    """Who may read the bucket, and write into a target; S3's own names."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)

    def fields(self) -> dict[str, str]:
        return {
            "aws_access_key_id": self.access_key_id,
            "aws_secret_access_key": self.secret_access_key,
            "aws_session_token": self.session_token,
        }


@dataclass(frozen=True)
class Bucket:
    """A place in S3.

    Attributes:
        prefix: without slashes around it, "" for the whole bucket.
        endpoint: where another than Amazon's S3 listens, "" for Amazon's.
        region: "" for Label Studio's default, us-east-1.
        presign: whether browser and backend fetch images from the store itself, by a link that Label Studio signs; else
            Label Studio hands them on.
    """

    name: str
    prefix: str = ""
    endpoint: str = ""
    region: str = ""
    presign: bool = False

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}{f' at {self.endpoint}' if self.endpoint else ''}"

    def settings(self, role: str) -> dict[str, Any]:
        """What may be changed without it becoming another place."""
        settings: dict[str, Any] = {"region_name": self.region} if self.region else {}
        return settings | ({"presign": self.presign} if role == SOURCE else {})

    def fields(self, role: str) -> dict[str, Any]:
        place = {
            "title": f"S3 {self.name}/{self.prefix}".rstrip("/"),
            "bucket": self.name,
            "prefix": self.prefix,
            **({"s3endpoint": self.endpoint} if self.endpoint else {}),
            **self.settings(role),
        }
        images = {"regex_filter": PATTERN, "use_blob_urls": True, "recursive_scan": True}
        return place | (images if role == SOURCE else {})

    def is_of(self, storage: Any) -> bool:
        """Whether a storage of Label Studio is this place."""
        found = (storage.bucket or "", (storage.prefix or "").strip("/"), (storage.s3endpoint or "").rstrip("/"))
        return found == (self.name, self.prefix, self.endpoint)


def storages(studio: LabelStudio, project: int, role: str) -> list[Any]:
    with api_errors(f"list the S3 storages of project {project}"):
        return list(_of(studio, role).list(project=project) or [])


def existing(studio: LabelStudio, project: int, bucket: Bucket, role: str) -> Any | None:
    return next((each for each in storages(studio, project, role) if bucket.is_of(each)), None)


def differing(storage: Any, bucket: Bucket, role: str) -> dict[str, Any]:
    """What of a storage is not as it is wanted."""
    return {name: value for name, value in bucket.settings(role).items() if getattr(storage, name) != value}


def try_out(studio: LabelStudio, project: int, bucket: Bucket, keys: Keys, role: str) -> None:
    """Have Label Studio reach the bucket with these keys; nothing is stored.

    Raises:
        LabelStudioError: it does not.
    """
    with _reaching(bucket):
        _of(studio, role).validate(project=project, **bucket.fields(role), **keys.fields())


def create(studio: LabelStudio, project: int, bucket: Bucket, keys: Keys, role: str) -> Any:
    with _reaching(bucket):
        return _of(studio, role).create(project=project, **bucket.fields(role), **keys.fields())


def update(studio: LabelStudio, storage: Any, bucket: Bucket, role: str, **changed: Any) -> None:
    with _reaching(bucket):
        _of(studio, role).update(int(storage.id), project=storage.project, bucket=bucket.name, **changed)


def sync(studio: LabelStudio, source: Any, bucket: Bucket) -> int:
    """Import the images that are no tasks yet.

    Returns:
        how many.
    """
    with _reaching(bucket):
        synced = studio.sdk.import_storage.s3.sync(int(source.id))
    if str(synced.status).startswith("failed"):
        raise refused(bucket, str(synced.traceback or "").strip().rpartition("\n")[2])
    return int(synced.last_sync_count or 0)


def holds(studio: LabelStudio, project: int, bucket: Bucket, keys: Keys, annotation: int) -> bool:
    """Whether Label Studio wrote an annotation into a target; it counts those that it could not write, too."""
    name = f"{bucket.prefix}/{annotation}".lstrip("/")
    asked = {
        "project": project,
        "bucket": bucket.name,
        "prefix": bucket.prefix,
        "s3_endpoint": bucket.endpoint,
        "region_name": bucket.region,
        "regex_filter": f"{re.escape(name)}$",
        **keys.fields(),
    }
    try:
        with api_errors(f"look into {bucket}"):
            answer = studio.http.post("/api/storages/s3/files", json=asked).raise_for_status()
            return any(file["key"] == name for file in answer.json()["files"])
    except LabelStudioError as error:
        if error.status is None:
            raise
        return False  # a prefix below which there is nothing is an error to it


def remove(studio: LabelStudio, storage: Any, role: str) -> None:
    with api_errors("remove a storage that was made a moment ago"):
        _of(studio, role).delete(int(storage.id))


def admitting(endpoint: str) -> str:
    """What an inventory says for Label Studio's guard to admit a store."""
    return f"label_studio_admitted_addresses: [{normalise(endpoint).host}]"


@contextmanager
def _reaching(bucket: Bucket) -> Iterator[None]:
    """Turn Label Studio's refusals into what is to be done about this bucket."""
    try:
        with api_errors(f"reach {bucket}"):
            yield
    except LabelStudioError as error:
        if error.status is None or error.link == "token":
            raise
        raise refused(bucket, error.found) from error


def refused(bucket: Bucket, said: str) -> LabelStudioError:
    """What is to be done about what Label Studio said of a bucket."""
    message = f"Label Studio cannot use {bucket}."
    if GUARDED in said and normalise(bucket.endpoint).is_loopback:
        return LabelStudioError(
            message,
            link="storage",
            found=said,
            expected="an address at which other machines reach the store: in Label Studio's container, this one leads "
            "to the container itself",
            command=f"samstudio storage add … --endpoint {_elsewhere(bucket.endpoint)}",
        )
    if GUARDED in said:
        return LabelStudioError(
            f"Label Studio's guard against private addresses refuses {bucket}.",
            link="storage",
            found=said,
            expected=f"this line in the inventory (inventory/local/group_vars/all/settings.yml), beside what the list "
            f"holds there already: {admitting(bucket.endpoint)}",
            command="./samstudio deploy   # then the same command again",
        )
    if "resolve hostname" in said:
        return LabelStudioError(
            message,
            link="storage",
            found=said,
            expected="a name that the host's name service knows; a container does not see the host's /etc/hosts",
            command=f"getent ahosts {normalise(bucket.endpoint).host}   # on Label Studio's host",
        )
    return LabelStudioError(
        message,
        link="storage",
        found=said,
        expected="keys that may list the bucket (and write into a target), a bucket of that name, and images below the "
        "prefix of a source",
        command=f"docker logs --since 5m label-studio 2>&1 | grep '{IN_THE_LOG}'   # has the store's own words",
    )


def _elsewhere(endpoint: str) -> str:
    address = normalise(endpoint)
    return f"{address.scheme}://THIS-HOST:{address.port}"


def _of(studio: LabelStudio, role: str) -> Any:
    return studio.sdk.import_storage.s3 if role == SOURCE else studio.sdk.export_storage.s3
