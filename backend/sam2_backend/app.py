"""The HTTP face: Label Studio's ML contract, and what admins and `samstudio` ask."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import labelconfig, predict
from .answers import Json, refusal
from .auth import BasicAuth
from .body import read_json
from .errors import Problem
from .logs import fields, request_id
from .projects import project_number
from .reason import Status
from .server import Backend
from .ui.routes import ui_routes

log = logging.getLogger(__name__)
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def application(backend: Backend) -> ASGIApp:
    """The ASGI application; starts and stops the backend with its lifespan."""
    endpoints = _Endpoints(backend)

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> AsyncIterator[None]:
        await backend.start()
        yield
        await backend.stop()

    routes = [
        Route("/", endpoints.health, methods=["GET", "HEAD"]),
        Route("/health", endpoints.health, methods=["GET", "HEAD"]),
        Route("/setup", endpoints.setup, methods=["POST"]),
        Route("/predict", endpoints.predict, methods=["POST"]),
        Route("/webhook", endpoints.webhook, methods=["POST"]),
        Route("/versions", endpoints.versions, methods=["GET", "POST"]),
        Route("/metrics", endpoints.metrics, methods=["GET"]),
        Route("/status", endpoints.status, methods=["GET"]),
        Route("/prewarm", endpoints.start_prewarm, methods=["POST"]),
        Route("/prewarm", endpoints.prewarm_progress, methods=["GET"]),
    ]
    if backend.settings.ui:
        routes += ui_routes(backend)
    # The bare router, without Starlette's error pages: `_Gate` turns every exception into an answer.
    router = Router(routes=routes, lifespan=lifespan, default=_missing, redirect_slashes=False)
    return _Gate(router, frozenset(route.path for route in routes), backend)


class _Gate:
    """Around every request: id, basic auth, body limit, and problems turned into answers."""

    def __init__(self, inner: ASGIApp, paths: frozenset[str], backend: Backend) -> None:
        self._inner = inner
        self._paths = paths
        self._backend = backend
        self._auth = BasicAuth(backend.settings.basic_auth_user, backend.settings.basic_auth_pass)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", "")
        identifier = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(6)
        request_id.set(identifier)
        status = 500
        started = False

        async def answer(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = int(message["status"]), True
                message["headers"] = [*message.get("headers", []), (b"x-request-id", identifier.encode())]
            await send(message)

        try:
            if not self._auth.allows(scope["path"], headers.get(b"authorization", "")):
                raise Problem(401, "auth", "Wrong or missing basic auth: check BASIC_AUTH_USER and BASIC_AUTH_PASS.")
            await self._inner(scope, receive, answer)
        except Problem as problem:
            self._backend.report(problem)
            await refusal(problem)(scope, receive, answer)
        except (ClientDisconnect, ConnectionError):
            log.info("client went away")
        except Exception:
            log.exception("unexpected", extra=fields(path=scope["path"]))
            unexpected = Problem(
                500, "server", f"Unexpected error in the SAM2 backend; see request {identifier} in its log."
            )
            self._backend.report(unexpected)
            if not started:
                await refusal(unexpected)(scope, receive, answer)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._backend.metrics.requests.labels(path, str(status)).inc()
            log.debug("request", extra=fields(method=scope["method"], path=path, status=status))


async def _missing(scope: Scope, receive: Receive, send: Send) -> None:
    raise Problem(404, "request", f"There is no {scope['method']} {scope['path'][:200]} here.")


class _Endpoints:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def health(self, _: Request) -> Response:
        status, body = self._backend.health()
        return Json(body, status_code=status if status == 200 else Status(status, body["reason"]))

    async def setup(self, request: Request) -> Response:
        body = await self._json(request)
        project, schema = project_number(body.get("project")), body.get("schema")
        if not project:
            raise Problem(400, "request", 'The body of /setup needs "project".')
        xml = schema if isinstance(schema, str) else ""
        self._backend.projects.set_up(project, xml, _text(body, "hostname"), _text(body, "access_token"))
        (await asyncio.to_thread(labelconfig.parse, xml)).check()
        serving = self._backend.serving
        return Json({"model_version": serving.model.engine.info.model if serving else "SAM2 (loading)"})

    async def predict(self, request: Request) -> Response:
        asked = predict.parse_request(await self._json(request))
        if asked.result is None and self._backend.serving is None:
            return Json({"results": [[] for _ in asked.tasks]})
        serving = await self._backend.ready()
        return Json(await serving.predictor.predict(asked))

    async def webhook(self, request: Request) -> Response:
        body = await self._json(request)
        action, project = str(body.get("action", ""))[:64], body.get("project")
        number = project_number(project.get("id")) if isinstance(project, Mapping) else ""
        xml = _text(project, "label_config") if isinstance(project, Mapping) else ""
        if action == "PROJECT_UPDATED" and number and xml:
            self._backend.projects.get(number).label_config = xml
        if action == "TASKS_CREATED" and self._backend.serving:
            accepted, _ = await self._backend.serving.prewarmer.add(number, xml, _tasks(body))
            return Json({"status": "ok", "action": action, "prewarming": accepted})
        return Json({"status": "ok", "action": action})

    async def versions(self, _: Request) -> Response:
        serving = self._backend.serving
        return Json({"versions": [serving.model.engine.info.model] if serving else []})

    async def metrics(self, _: Request) -> Response:
        self._backend.refresh_gauges()
        return Response(self._backend.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def status(self, _: Request) -> Response:
        return Json(self._backend.status())

    async def start_prewarm(self, request: Request) -> Response:
        body = await self._json(request)
        serving = await self._backend.ready()
        number = project_number(body.get("project"))
        accepted, already = await serving.prewarmer.add(number, _text(body, "label_config"), _tasks(body))
        return Json({"accepted": accepted, "already": already}, status_code=202)

    async def prewarm_progress(self, request: Request) -> Response:
        serving = await self._backend.ready()
        return Json(serving.prewarmer.progress(project_number(request.query_params.get("project", ""))))

    async def _json(self, request: Request) -> Mapping[str, Any]:
        return await read_json(request, self._backend.settings.limits.body_bytes)


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _tasks(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tasks = body.get("tasks")
    return [task for task in tasks if isinstance(task, Mapping)] if isinstance(tasks, list) else []
