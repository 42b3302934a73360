"""Label Studio's REST API: short questions that change nothing, asked with the token that fetches its images."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from sam2_backend.images.addresses import check_url, check_what_the_proxy_resolves
from sam2_backend.images.credentials import Credentials
from sam2_backend.images.fetch import CHUNK, Fetcher
from sam2_backend.images.sources import origin_of
from sam2_backend.problems import Problem

SECONDS = 10.0
MOST_BYTES = 4 << 20


class Api:
    """Used from the event loop only."""

    def __init__(self, fetcher: Fetcher, credentials: Credentials) -> None:
        self._fetcher = fetcher
        self._credentials = credentials

    async def get(self, label_studio: str, path: str, query: Mapping[str, str]) -> Any:
        """The JSON at a path of the Label Studio with this base URL. Raises Problem."""
        url = label_studio + path
        check_url(url)
        try:
            async with asyncio.timeout(SECONDS):
                await check_what_the_proxy_resolves(url)
                token = await self._credentials.header(self._fetcher.http, origin_of(url))
                if not token:
                    raise Problem(503, "ahead", "There is no token for Label Studio: set LABEL_STUDIO_API_KEY.")
                return await self._asked(url, query, token)
        except TimeoutError:
            raise Problem(504, "ahead", f"Label Studio did not answer {path} within {SECONDS:g} s.") from None
        except aiohttp.ClientResponseError as error:
            raise Problem(502, "ahead", f"Label Studio answered {path} with HTTP {error.status}.") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Problem(502, "ahead", f"Label Studio gave no answer to {path}: {type(error).__name__}.") from None

    async def _asked(self, url: str, query: Mapping[str, str], token: str) -> Any:
        headers = {"Authorization": token}
        async with self._fetcher.http.get(url, params=query, headers=headers, allow_redirects=False) as response:
            if response.status == 401:
                self._credentials.forget_access(origin_of(url))
            response.raise_for_status()
            body = bytearray()
            async for chunk in response.content.iter_chunked(CHUNK):
                body += chunk
                if len(body) > MOST_BYTES:
                    raise aiohttp.ClientPayloadError("too long")
            return json.loads(body)
