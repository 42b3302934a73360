"""`/ui`: the page, its script and sample drawings."""

from __future__ import annotations

from starlette.routing import Route

from ..server import Backend


def ui_routes(backend: Backend) -> list[Route]:
    return []
