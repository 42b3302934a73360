"""What a task's image address means: a file on a mounted folder, something of Label Studio's, or a plain URL."""

from __future__ import annotations

import base64
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from sam2_backend.images.addresses import check_url
from sam2_backend.problems import Problem

CLOUD_SCHEMES = ("s3", "gs", "azure-blob")
LOCAL_FILES_PATH = "/data/local-files"
UPLOAD_PATH = "/data/upload/"
# Where Label Studio keeps images of tasks, and its sample images. Its token opens far more, so it goes nowhere else.
TASK_FILE = re.compile(r"/data/upload/.+|/data/local-files/?|/storage-data/.+|/tasks/\d+/(resolve|presign)/?")
SAMPLE_FILE = re.compile(r"/static/.+")


@dataclass(frozen=True, slots=True)
class Source:
    """identity: equal for equal places. url is on Label Studio itself (and gets its token) if `label_studio` is set.

    folder: where its file may be mounted; path and stamp (mtime, size, inode): of the file there, as `mounted` saw it.
    immutable: the address never changes its content (Label Studio gives every upload a name of its own).
    """

    identity: str
    url: str = ""
    label_studio: str = ""
    folder: Path | None = None
    path: Path | None = None
    stamp: tuple[int, int, int] | None = None
    immutable: bool = False


def origin_of(url: str) -> str:
    """Scheme, host and port: what a token belongs to."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme, 0)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{parts.port or default}"


def locate(
    address: str,
    *,
    task: object,
    label_studio: str,
    aliases: Iterable[str] = (),
    only_one: bool = False,
    local_files: Path | None = None,
) -> Source:
    """label_studio: base URL that the backend can reach, "" if unknown. aliases: other base URLs of the same server.

    only_one: there is no other Label Studio, so a path that only Label Studio has lies there, whatever name the address
    gives it; after a restart nobody has told the aliases yet. Raises Problem if the address can never be fetched.
    """
    address = address.strip()
    scheme = urlsplit(address).scheme.lower()
    if scheme in CLOUD_SCHEMES:
        base = _need(label_studio, address)
        encoded = base64.urlsafe_b64encode(address.encode()).decode()
        return Source(address, f"{base}/tasks/{_task_number(task)}/resolve/?fileuri={encoded}", base)
    if scheme in ("", "upload"):
        return _of_label_studio(_absolute_path(address), _need(label_studio, address), local_files)
    check_url(address)
    known = {origin_of(alias) for alias in (label_studio, *aliases) if alias}
    parts = urlsplit(address)
    tail = parts.path + (f"?{parts.query}" if parts.query else "")
    base = label_studio or address[: -len(tail)]
    inner = _inner(tail, base)
    if (only_one and _matches(TASK_FILE, inner)) or (origin_of(address) in known and _is_own_path(inner)):
        return _of_label_studio(tail, base, local_files)
    return Source(address, address)


def mounted(source: Source) -> Source:
    """With the path and stamp of its file, where that is mounted. Blocks on its file system."""
    path = source.folder and _file_below(source.folder, urlsplit(source.url).query)
    if path is None:
        return replace(source, path=None, stamp=None)
    try:
        stat = path.stat()
    except OSError:
        return replace(source, path=None, stamp=None)
    return replace(source, path=path, stamp=(stat.st_mtime_ns, stat.st_size, stat.st_ino))


def is_own_file(url: str, label_studio: str) -> bool:
    """Whether `url` is a file of a task on the Label Studio with this base URL: what its token may be sent to."""
    parts = urlsplit(url)
    return origin_of(url) == origin_of(label_studio) and _is_own_path(_inner(parts.path, label_studio))


def _inner(tail: str, base: str) -> str:
    """A path without the base URL's own; a prefix such as /label-studio may be in both."""
    prefix = urlsplit(base).path.rstrip("/")
    return tail.removeprefix(prefix) if prefix and tail.startswith(f"{prefix}/") else tail


def _is_own_path(tail: str) -> bool:
    return _matches(TASK_FILE, tail) or _matches(SAMPLE_FILE, tail)


def _matches(pattern: re.Pattern[str], tail: str) -> bool:
    path = unquote(urlsplit(tail).path)
    return bool(pattern.fullmatch(path)) and not {"..", "."} & set(re.split(r"[/\\]", path))


def _of_label_studio(tail: str, base: str, local_files: Path | None) -> Source:
    inner = _inner(tail, base)
    if not _is_own_path(inner):
        raise Problem(
            422,
            "fetch",
            f"{urlsplit(inner).path[:200]} is no image file of Label Studio: expected an upload, a local file or a "
            "storage address, such as /data/upload/1/image.png. Check the task's data.",
        )
    folder = local_files if inner.startswith(LOCAL_FILES_PATH) else None
    immutable = inner.startswith(UPLOAD_PATH)
    return Source(f"{base}{inner}", f"{base}{inner}", base, folder, immutable=immutable)


def _file_below(root: Path, query: str) -> Path | None:
    """The file that a local file's query names, if it is there; links that lead out of `root` are not followed."""
    wanted = parse_qs(query).get("d", [""])[-1]
    relative = posixpath.normpath(wanted).lstrip("/")
    if not wanted or relative.startswith("..") or "\0" in relative:
        return None
    path = (root / relative).resolve()
    return path if path.is_relative_to(root.resolve()) and path.is_file() else None


def _absolute_path(address: str) -> str:
    if address.startswith(("upload/", "/upload/")):
        return "/data/" + address.lstrip("/")
    if not address.startswith("/") or address.startswith("//"):
        raise Problem(
            422,
            "fetch",
            "The task's image is neither a URL nor a Label Studio path such as /data/upload/...: check the task.",
        )
    return address


def _task_number(task: object) -> int:
    if isinstance(task, int) or (isinstance(task, str) and task.isdigit()):
        return int(task)
    raise Problem(422, "fetch", "A cloud storage image can only be resolved for a task with a numeric id.")


def _need(label_studio: str, address: str) -> str:
    if not label_studio:
        raise Problem(
            503,
            "fetch",
            "The image lies in Label Studio, whose address is not known: set LABEL_STUDIO_URL of the backend, "
            "e.g. http://label-studio:8080.",
        )
    return label_studio
