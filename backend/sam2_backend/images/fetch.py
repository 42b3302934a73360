"""Image bytes from wherever a `Source` lies, within limits of size and time; each failure has its own sentence.

A token goes to the files of Label Studio's own origin only, never along a redirect to anything else.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import aiohttp

from sam2_backend.images.addresses import check_url, check_what_the_proxy_resolves, connector
from sam2_backend.images.credentials import Credentials
from sam2_backend.images.sources import Source, is_own_file, origin_of
from sam2_backend.problems import Problem
from sam2_backend.settings import Limits

MAX_REDIRECTS = 5
CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Fetched:
    """data: the file; validators: headers that make the next fetch conditional."""

    data: bytes
    validators: tuple[tuple[str, str], ...] = ()


class Fetcher:
    """Use `async with`; one HTTP session for all fetches."""

    def __init__(self, limits: Limits, credentials: Credentials) -> None:
        self._limits = limits
        self._credentials = credentials
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Fetcher:
        # The system's trust store, not certifi's: that is where a hospital's own CA is.
        secure = ssl.create_default_context()
        self._session = aiohttp.ClientSession(
            connector=connector(ssl=secure, limit=16),
            timeout=aiohttp.ClientTimeout(total=self._limits.fetch_seconds),
            trust_env=True,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session:
            await self._session.close()

    async def fetch(self, source: Source, validators: tuple[tuple[str, str], ...] = ()) -> Fetched | None:
        """None if the server says that nothing changed since `validators`. Raises Problem."""
        if source.path is not None:
            return Fetched(await asyncio.to_thread(self._read, source.path))
        host = urlsplit(source.url).netloc
        try:
            async with asyncio.timeout(self._limits.fetch_seconds):
                return await self._follow(source, validators)
        except TimeoutError:
            raise Problem(
                504,
                "fetch",
                f"{_who(source)} {host} did not deliver the image within {self._limits.fetch_seconds:g} s.",
            ) from None
        except aiohttp.InvalidURL:
            raise Problem(
                422, "fetch", f"The image address {host} is not a valid one: check the task's data."
            ) from None
        except aiohttp.ClientConnectorCertificateError:
            raise Problem(
                502, "fetch", f"The certificate of {host} is not trusted: add your CA to the backend's trust store."
            ) from None
        except aiohttp.ClientConnectorError as error:
            hint = " Set LABEL_STUDIO_URL to an address that the backend can reach." if source.label_studio else ""
            reason = error.os_error.strerror or type(error.os_error).__name__
            raise Problem(502, "fetch", f"Cannot connect to {_who(source)} {host}: {reason}.{hint}") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Problem(
                502, "fetch", f"The transfer of the image from {host} failed: {type(error).__name__}."
            ) from None

    def _read(self, path: Path) -> bytes:
        try:
            if path.stat().st_size > self._limits.image_bytes:
                raise self._too_large()
            return path.read_bytes()
        except OSError as error:
            raise Problem(
                502,
                "fetch",
                f"The local file {path} cannot be read: {error.strerror}. Check the mount and its permissions.",
            ) from None

    async def _follow(self, source: Source, validators: tuple[tuple[str, str], ...]) -> Fetched | None:
        url, renewed = source.url, False
        for _ in range(MAX_REDIRECTS + 1):
            check_url(url)
            await check_what_the_proxy_resolves(url)
            headers = dict(validators) if url == source.url else {}
            trusted = bool(source.label_studio) and is_own_file(url, source.label_studio)
            if trusted and (token := await self._credentials.header(self.http, origin_of(url))):
                headers["Authorization"] = token
            async with self.http.get(url, headers=headers, allow_redirects=False) as response:
                if response.status in (301, 302, 303, 307, 308):
                    url = urljoin(url, response.headers.get("Location", ""))
                    if trusted and urlsplit(url).path.rstrip("/").endswith("/user/login"):
                        raise self._refused(response.status, source)
                    continue
                if response.status == 304 and validators:
                    return None
                if response.status == 401 and trusted and not renewed:
                    renewed = True
                    self._credentials.forget_access(origin_of(url))
                    continue
                if response.status != 200:
                    raise self._failed(response.status, url, trusted, source)
                return Fetched(await self._body(response), _validators(response, redirected=url != source.url))
        raise Problem(502, "fetch", f"{urlsplit(source.url).netloc} redirected more than {MAX_REDIRECTS} times.")

    @property
    def http(self) -> aiohttp.ClientSession:
        """With the system's certificate authorities, and never to an address that is forbidden."""
        assert self._session is not None
        return self._session

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        if (response.content_length or 0) > self._limits.image_bytes:
            raise self._too_large()
        body = bytearray()
        async for chunk in response.content.iter_chunked(CHUNK):
            body += chunk
            if len(body) > self._limits.image_bytes:
                raise self._too_large()
        if not body:
            raise Problem(502, "fetch", f"{response.url.host} answered with an empty file instead of the image.")
        return bytes(body)

    def _too_large(self) -> Problem:
        limit = self._limits.image_bytes / (1 << 20)
        return Problem(
            413, "fetch", f"The image file is larger than {limit:.0f} MiB. Raise MAX_IMAGE_BYTES of the backend."
        )

    def _failed(self, status: int, url: str, trusted: bool, source: Source) -> Problem:
        parts = urlsplit(url)
        if trusted and status in (401, 403):
            return self._refused(status, source)
        if trusted and status == 404:
            return Problem(
                502,
                "fetch",
                f"Label Studio has no image at {parts.path} (HTTP 404), or the token's user may not see it.",
            )
        return Problem(502, "fetch", f"{parts.netloc} answered HTTP {status} instead of the image.")

    def _refused(self, status: int, source: Source) -> Problem:
        return Problem(
            502,
            "fetch",
            f"Label Studio at {origin_of(source.label_studio)} refused the image (HTTP {status}): set "
            "LABEL_STUDIO_API_KEY of the backend to a personal access token of a user who may see the project.",
        )


def _who(source: Source) -> str:
    return "Label Studio at" if source.label_studio else "The image host"


def _validators(response: aiohttp.ClientResponse, *, redirected: bool) -> tuple[tuple[str, str], ...]:
    if redirected:
        return ()
    if etag := response.headers.get("ETag"):
        return (("If-None-Match", etag),)
    if modified := response.headers.get("Last-Modified"):
        return (("If-Modified-Since", modified),)
    return ()
