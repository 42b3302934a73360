"""The HTTP face: Label Studio's ML contract, and what admins and `samstudio` ask."""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sam2_backend.backend import Backend
from sam2_backend.http.auth import BasicAuth
from sam2_backend.http.bodies import read_json, read_predict
from sam2_backend.http.page.routes import ui_routes
from sam2_backend.http.reason_phrase import StatusWithReason
from sam2_backend.http.responses import JsonResponse, problem_response
from sam2_backend.images.sources import Source
from sam2_backend.label_studio import labeling_config, text_field
from sam2_backend.label_studio.masks import seconds_of, wanted_of
from sam2_backend.label_studio.predictions import parse_request, text_field_of
from sam2_backend.label_studio.projects import project_number, project_uid, uid_of
from sam2_backend.label_studio.tasks import sources_of
from sam2_backend.logs import fields, request_id
from sam2_backend.problems import Problem
from sam2_backend.serving.claim import Urgency

log = logging.getLogger(__name__)
# How many backends share the clicks, as the balancer before them tells.
BACKENDS_UP = "x-sam2-backends-up"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
NO_TRAINING = Problem(
    422,
    "request",
    "SAM 2 is not trained here: it segments what is clicked, with weights that are given.",
)


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
        Route("/train", endpoints.train, methods=["POST"]),
        Route("/validate", endpoints.validate, methods=["POST"]),
        Route("/job_status", endpoints.job_status, methods=["POST"]),
        Route("/duplicate_model", endpoints.duplicate_model, methods=["POST"]),
        Route("/delete", endpoints.delete, methods=["POST"]),
        Route("/metrics", endpoints.metrics, methods=["GET"]),
        Route("/status", endpoints.status, methods=["GET"]),
        Route("/masks", endpoints.masks, methods=["POST"]),
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
            self._backend.problems.report(problem)
            await problem_response(problem)(scope, receive, answer)
        except (ClientDisconnect, ConnectionError):
            log.info("client went away")
        except Exception:
            log.exception("unexpected", extra=fields(path=scope["path"]))
            unexpected = Problem(
                500, "server", f"Unexpected error in the SAM2 backend; see request {identifier} in its log."
            )
            self._backend.problems.report(unexpected)
            if not started:
                await problem_response(unexpected)(scope, receive, answer)
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
        return JsonResponse(body, status_code=status if status == 200 else StatusWithReason(status, body["reason"]))

    async def setup(self, request: Request) -> Response:
        body = await self._json(request)
        project, schema = project_uid(body.get("project")), body.get("schema")
        if not project:
            raise Problem(400, "request", 'The body of /setup needs "project".')
        xml = schema if isinstance(schema, str) else ""
        self._backend.projects.set_up(project, xml, _text(body, "hostname"), _text(body, "access_token"))
        labeling_config.read(xml).check()
        serving = self._backend.serving
        return JsonResponse({"model_version": serving.model.engine.info.model if serving else "SAM2 (loading)"})

    async def predict(self, request: Request) -> Response:
        body = await read_predict(request, self._backend.settings.limits.body_bytes)
        asked = parse_request(body, shared=request.headers.get(BACKENDS_UP, "1") not in ("0", "1"))
        if asked.result is None and self._backend.serving is None:
            return JsonResponse({"results": [[] for _ in asked.tasks]})
        try:
            serving = await self._backend.ready()
            return JsonResponse(await serving.predictions.predict(asked))
        except Problem as problem:
            field = text_field_of(asked, self._backend.projects)
            if field is None or text_field.typed(asked.result, field) is None:
                raise
            self._backend.problems.report(problem)
            return JsonResponse({"results": [{"result": text_field.said(field, [problem.message])}]})

    async def webhook(self, request: Request) -> Response:
        body = await self._json(request)
        action, project = str(body.get("action", ""))[:64], body.get("project")
        if action == "START_TRAINING":
            raise NO_TRAINING
        uid = uid_of(project) if isinstance(project, Mapping) else ""
        xml = _text(project, "label_config") if isinstance(project, Mapping) else ""
        if action == "PROJECT_UPDATED" and uid and xml:
            self._backend.projects.get(uid).label_config = xml
        if action == "TASKS_CREATED" and (serving := self._backend.serving):
            accepted, _ = await serving.inference.prewarmer.add(project_number(uid), self._sources(body, uid, xml))
            return JsonResponse({"status": "ok", "action": action, "prewarming": accepted})
        return JsonResponse({"status": "ok", "action": action})

    async def versions(self, _: Request) -> Response:
        serving = self._backend.serving
        return JsonResponse({"versions": [serving.model.engine.info.model] if serving else []})

    async def metrics(self, _: Request) -> Response:
        self._backend.refresh_gauges()
        return Response(self._backend.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def status(self, _: Request) -> Response:
        return JsonResponse(self._backend.status())

    async def masks(self, request: Request) -> Response:
        """Masks for the boxes of some tasks, which come with annotations and predictions, as `samstudio masks` asks.

        {"project", "label_config", "tasks", "from": `boxes_of`'s source or null, "labels": [...] or null, "to": a kind
        of output tag or null, "seconds", "survey": only look, "job": what `Jobs.tell` takes} → a report for each task,
        as `TaskMasks` describes it.
        """
        body = await self._json(request)
        serving = await self._backend.ready()
        project = self._backend.projects.meant(project_uid(body.get("project")))
        config = labeling_config.read(_text(body, "label_config"))
        wanted = wanted_of(body)
        self._backend.jobs.tell(body.get("job"))
        if body.get("survey"):
            reports = serving.masks.survey(_tasks(body), config, wanted)
        else:
            seconds = seconds_of(body, self._backend.settings.limits.predict_seconds)
            reports = await serving.masks.make(_tasks(body), project, config, wanted, Urgency.PREWARM, seconds)
        return JsonResponse({"results": [report.as_dict() for report in reports]})

    async def start_prewarm(self, request: Request) -> Response:
        body = await self._json(request)
        serving = await self._backend.ready()
        uid = self._backend.projects.meant(project_uid(body.get("project")))
        sources = self._sources(body, uid, _text(body, "label_config"))
        accepted, already = await serving.inference.prewarmer.add(project_number(uid), sources)
        return JsonResponse({"accepted": accepted, "already": already}, status_code=202)

    async def prewarm_progress(self, request: Request) -> Response:
        serving = await self._backend.ready()
        return JsonResponse(
            serving.inference.prewarmer.progress(project_number(request.query_params.get("project", "")))
        )

    async def train(self, _: Request) -> Response:
        raise NO_TRAINING

    async def validate(self, request: Request) -> Response:
        """Label Studio asks whether a labeling config suits the model."""
        config = _text(await self._json(request), "config")
        labeling_config.read(config).check()
        return JsonResponse({"status": "ok"})

    async def job_status(self, request: Request) -> Response:
        """Of a training that never began."""
        job = str((await self._json(request)).get("job", ""))[:64]
        return JsonResponse({"job_id": job, "job_status": "failed", "error": NO_TRAINING.message})

    async def duplicate_model(self, request: Request) -> Response:
        """The model is the same for every project: the copy gets what is known of the original."""
        body = await self._json(request)
        source, target = project_uid(body.get("project_src")), project_uid(body.get("project_dst"))
        if not source or not target:
            raise Problem(400, "request", 'The body of /duplicate_model needs "project_src" and "project_dst".')
        projects = self._backend.projects
        known = projects.get(source)
        projects.set_up(target, known.label_config, known.hostname, "")
        return JsonResponse({"status": "ok"})

    async def delete(self, request: Request) -> Response:
        """What is known of the project goes; image embeddings stay, for other projects may have the same images."""
        self._backend.projects.forget(project_uid((await self._json(request)).get("project")))
        return JsonResponse({"status": "ok"})

    def _sources(self, body: Mapping[str, Any], project: str, label_config: str) -> Iterator[Source]:
        return sources_of(_tasks(body), project, label_config, self._backend.projects, self._backend.problems)

    async def _json(self, request: Request) -> Mapping[str, Any]:
        return await read_json(request, self._backend.settings.limits.body_bytes)


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _tasks(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tasks = body.get("tasks")
    return [task for task in tasks if isinstance(task, Mapping)] if isinstance(tasks, list) else []
