"""Environment variables → frozen settings. A wrong value refuses to start: variable, value, what was expected."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
PRECISIONS = ("auto", "f32", "bf16", "f16", "int8")
POLYGON_PARTS = ("largest", "all")
MIB = 1 << 20
GIB = 1 << 30


class SettingsError(ValueError):
    """A setting that cannot be used; the text names variable, value and what was expected."""

    def __init__(self, name: str, value: str, expected: str) -> None:
        super().__init__(f"{name}={value!r} cannot be used: expected {expected}.")


class Secret:
    """A secret given as a value or as a file that may be replaced while the server runs.

    Never shown: `repr` hides it, and nothing but `get` returns it.
    """

    def __init__(self, value: str = "", path: Path | None = None) -> None:
        self._value = value
        self._path = path
        self._stamp: tuple[int, int, int] | None = None

    def get(self) -> str:
        """The secret, read again if its file changed; the last known one if the file is gone for the moment."""
        if self._path is not None:
            try:
                stat = self._path.stat()
                stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if stamp != self._stamp:
                    self._value = self._path.read_text(encoding="utf-8").strip()
                    self._stamp = stamp
            except OSError:
                pass
        return self._value

    def __bool__(self) -> bool:
        return bool(self.get())

    def __repr__(self) -> str:
        return "Secret(set)" if self else "Secret(unset)"


@dataclass(frozen=True, slots=True)
class Limits:
    """Where the server says no.

    body_bytes, image_bytes, image_pixels: the largest request, image file and decoded image.
    interactive: clicks in progress before a 503. predict_seconds: Label Studio hangs up after 100 s.
    fetch_seconds: for one image, redirects included. prewarm_tasks: images waiting to be prewarmed.
    """

    body_bytes: int
    image_bytes: int
    image_pixels: int
    interactive: int
    prewarm_tasks: int
    predict_seconds: float
    fetch_seconds: float
    loading_seconds: float
    drain_seconds: float


@dataclass(frozen=True, slots=True)
class PolygonStyle:
    """tolerance: largest distance between outline and polygon, in percent of the mask's diagonal."""

    tolerance: float
    max_points: int
    parts: str


@dataclass(frozen=True, slots=True)
class Settings:
    device: str
    model_config: str
    model_checkpoint: str
    model_dir: Path
    precision: str
    threads: int
    workers: int
    host: str
    port: int
    log_level: str
    basic_auth_user: str
    basic_auth_pass: Secret
    label_studio_url: str
    label_studio_api_key: Secret
    local_files_root: Path | None
    cache_dir: Path
    cache_memory_bytes: int
    cache_disk_bytes: int
    ui: bool
    polygon: PolygonStyle
    limits: Limits


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Raises SettingsError for the first value that cannot be used."""
    read = _Reader(os.environ if environment is None else environment)
    settings = Settings(
        device=read.text("DEVICE", "auto"),
        model_config=read.text("MODEL_CONFIG", "auto"),
        model_checkpoint=read.text("MODEL_CHECKPOINT", "demo" if read.text("MODEL_CONFIG", "auto") == "auto" else ""),
        model_dir=read.path("MODEL_DIR", "/models"),
        precision=read.choice("PRECISION", "auto", PRECISIONS),
        threads=read.integer("THREADS", 0, 0, 1024),
        workers=read.integer("WORKERS", 1, 1, 64),
        host=read.text("HOST", "0.0.0.0"),  # noqa: S104 - inside a container; publishing is the engine's decision
        port=read.integer("PORT", 9090, 1, 65535),
        log_level=read.choice("LOG_LEVEL", "INFO", LOG_LEVELS, str.upper),
        basic_auth_user=read.text("BASIC_AUTH_USER", ""),
        basic_auth_pass=read.secret("BASIC_AUTH_PASS"),
        label_studio_url=read.url("LABEL_STUDIO_URL"),
        label_studio_api_key=read.secret("LABEL_STUDIO_API_KEY"),
        local_files_root=read.folder("LOCAL_FILES_DOCUMENT_ROOT"),
        cache_dir=read.path("CACHE_DIR", "/cache"),
        cache_memory_bytes=read.integer("CACHE_MEMORY_BYTES", 2 * GIB, 0, 1 << 50),
        cache_disk_bytes=read.integer("CACHE_DISK_BYTES", 20 * GIB, 0, 1 << 50),
        ui=read.boolean("UI", True),
        polygon=PolygonStyle(
            tolerance=read.number("POLYGON_TOLERANCE", 0.15, 0, 10),
            max_points=read.integer("POLYGON_MAX_POINTS", 200, 3, 10_000),
            parts=read.choice("POLYGON_PARTS", "largest", POLYGON_PARTS),
        ),
        limits=Limits(
            body_bytes=read.integer("MAX_BODY_BYTES", 64 * MIB, 1024, GIB),
            image_bytes=read.integer("MAX_IMAGE_BYTES", 256 * MIB, 1024, 4 * GIB),
            image_pixels=read.integer("MAX_IMAGE_PIXELS", 64_000_000, 1024, 1 << 31),
            interactive=read.integer("MAX_QUEUE", 32, 1, 10_000),
            prewarm_tasks=read.integer("MAX_PREWARM_TASKS", 100_000, 1, 10_000_000),
            predict_seconds=read.number("PREDICT_SECONDS", 90, 0.1, 3600),
            fetch_seconds=read.number("FETCH_SECONDS", 30, 0.1, 3600),
            loading_seconds=read.number("LOADING_SECONDS", 60, 0, 3600),
            drain_seconds=read.number("DRAIN_SECONDS", 25, 0, 3600),
        ),
    )
    if bool(settings.basic_auth_user) != bool(settings.basic_auth_pass):
        missing = "BASIC_AUTH_PASS (or BASIC_AUTH_PASS_FILE)" if settings.basic_auth_user else "BASIC_AUTH_USER"
        raise SettingsError(missing, "", "a value, because the other half of the basic-auth pair is set; or neither")
    if settings.label_studio_api_key and not settings.label_studio_url:
        raise SettingsError(
            "LABEL_STUDIO_URL", "", "Label Studio's URL, because LABEL_STUDIO_API_KEY is set and is sent nowhere else"
        )
    return settings


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def text(self, name: str, default: str) -> str:
        return self._environment.get(name, "").strip() or default

    def path(self, name: str, default: str) -> Path:
        return Path(self.text(name, default))

    def choice(self, name: str, default: str, known: tuple[str, ...], fold: Callable[[str], str] = str.lower) -> str:
        value = fold(self.text(name, default))
        if value not in known:
            raise SettingsError(name, value, "one of " + ", ".join(known))
        return value

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        return self._between(name, default, low, high, int, "a whole number")

    def number(self, name: str, default: float, low: float, high: float) -> float:
        return self._between(name, default, low, high, float, "a number")

    def _between(self, name: str, default: T, low: T, high: T, convert: Callable[[str], T], kind: str) -> T:
        text = self.text(name, str(default))
        expected = f"{kind} from {low} to {high}"
        try:
            value = convert(text)
        except ValueError:
            raise SettingsError(name, text, expected) from None
        if not low <= value <= high:  # type: ignore[operator]
            raise SettingsError(name, text, expected)
        return value

    def boolean(self, name: str, default: bool) -> bool:
        text = self.text(name, str(default)).lower()
        if text in ("1", "true", "yes", "on"):
            return True
        if text in ("0", "false", "no", "off"):
            return False
        raise SettingsError(name, text, "true or false")

    def url(self, name: str) -> str:
        """An http(s) origin without a trailing slash, or nothing."""
        text = self.text(name, "").rstrip("/")
        if text and (urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname):
            raise SettingsError(name, text, "a URL such as http://label-studio:8080")
        return text

    def folder(self, name: str) -> Path | None:
        text = self.text(name, "")
        if not text:
            return None
        path = Path(text)
        if not path.is_absolute() or path == Path("/"):
            raise SettingsError(name, text, "an absolute folder below /, the same as Label Studio's")
        return path

    def secret(self, name: str) -> Secret:
        file_name = f"{name}_FILE"
        value, file = self._environment.get(name, "").strip(), self.text(file_name, "")
        if value and file:
            raise SettingsError(file_name, file, f"only one of {name} and {file_name}")
        if not file:
            return Secret(value)
        path = Path(file)
        try:
            path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(file_name, file, f"a readable text file ({error.__class__.__name__})") from None
        return Secret(path=path)
