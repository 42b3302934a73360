"""/predict: a click becomes a mask; a task that was merely opened is answered at once and prepared behind that."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import labelconfig, prompts
from .config import Settings
from .embeddings import Embeddings, Outcome
from .engine.base import Engine, Prepared, Prompt
from .errors import LastErrors, Problem, now
from .labelconfig import LabelConfig
from .lanes import Lane, Urgency
from .logs import fields
from .metrics import Metrics
from .prewarm import Clicks, Prewarmer
from .projects import Projects, project_number
from .prompts import ObjectPrompt
from .refine import LastLogits
from .results.items import items
from .results.mask import Mask
from .steps import Steps
from .store.memory import PreparedImage

log = logging.getLogger(__name__)
ASPECT_TOLERANCE = 0.02
MAX_TASKS = 10_000


@dataclass(frozen=True, slots=True)
class Request:
    tasks: list[Mapping[str, Any]]
    project: str
    label_config: str
    result: object | None


def parse_request(body: object) -> Request:
    """Raises Problem (400) for what is not a /predict request of Label Studio."""
    if not isinstance(body, Mapping):
        raise Problem(400, "request", "The body of /predict must be a JSON object with tasks.")
    tasks = body.get("tasks")
    if not isinstance(tasks, list) or not all(isinstance(task, Mapping) for task in tasks):
        raise Problem(400, "request", 'The body of /predict needs "tasks", a list of task objects.')
    if len(tasks) > MAX_TASKS:
        raise Problem(413, "request", f"{len(tasks)} tasks in one request; at most {MAX_TASKS} are taken.")
    params = body.get("params")
    context = params.get("context") if isinstance(params, Mapping) else None
    label_config = body.get("label_config")
    return Request(
        tasks=tasks,
        project=project_number(body.get("project")),
        label_config=label_config if isinstance(label_config, str) else "",
        result=context.get("result") if isinstance(context, Mapping) else None,
    )


class Predictor:
    """Used from the event loop only."""

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        embeddings: Embeddings,
        decoder: Lane,
        projects: Projects,
        prewarmer: Prewarmer,
        metrics: Metrics,
        errors: LastErrors,
        clicks: Clicks,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._embeddings = embeddings
        self._decoder = decoder
        self._projects = projects
        self._prewarmer = prewarmer
        self._metrics = metrics
        self._errors = errors
        self._logits = LastLogits()
        self.clicks = clicks
        self.last_click: dict[str, object] | None = None

    async def predict(self, request: Request) -> dict[str, Any]:
        """The answer's body, to be serialised with orjson. Raises Problem."""
        if request.result is None:
            self._prewarmer.opened(request.project, request.label_config, request.tasks)
            return {"results": [[] for _ in request.tasks]}
        if request.result == [] or not request.tasks:
            return {"results": [{"result": []} for _ in request.tasks]}
        if self.clicks.count >= self._settings.limits.interactive:
            raise Problem(
                503,
                "queue",
                f"The SAM2 backend is busy with {self.clicks.count} clicks, the limit: try again in a moment.",
                retry_after=2,
            )
        try:
            with self.clicks:
                async with asyncio.timeout(self._settings.limits.predict_seconds):
                    return {"results": await self._clicks(request)}
        except TimeoutError:
            raise Problem(
                504,
                "predict",
                f"No mask within {self._settings.limits.predict_seconds:g} s: the backend is overloaded.",
            ) from None

    async def _clicks(self, request: Request) -> list[dict[str, Any]]:
        config = labelconfig.parse(request.label_config or self._projects.get(request.project).label_config)
        objects = prompts.parse(request.result)
        results: list[dict[str, Any]] = []
        problems: list[Problem] = []
        for task in request.tasks:
            try:
                results.append(await self._click(task, request.project, config, objects))
            except Problem as problem:
                problems.append(problem)
                results.append({"result": [], "error": problem.message})
        if len(problems) == len(request.tasks):
            raise problems[0]
        self._report(problems)
        return results

    async def _click(
        self, task: Mapping[str, Any], project: str, config: LabelConfig, objects: list[ObjectPrompt]
    ) -> dict[str, Any]:
        steps = Steps()
        found: list[dict[str, Any]] = []
        scores: list[float] = []
        problems: list[Problem] = []
        outcome: Outcome = "memory"
        for prompt in objects:
            try:
                region = prompt.first
                label = region.labels[0] if region.labels else None
                config.image(region.to_name)
                output, naming = config.output(region.to_name, label, split=region.split)
                image, how = await self._image(task, project, config, prompt, steps)
                outcome = outcome if how == "memory" else how
                logits, score = await self.decode(task.get("id"), image, prompt, steps)
                mask = Mask(logits, *self._size(image, prompt))
                with steps.measure("render"):
                    found += await asyncio.to_thread(items, mask, region, output, naming, score, self._settings.polygon)
                scores.append(score)
            except Problem as problem:
                problems.append(problem)
        if not scores:
            raise problems[0]
        self._report(problems)
        self._note(task.get("id"), outcome, steps)
        return {"result": found, "score": float(np.mean(scores)), "model_version": self._engine.info.model}

    async def _image(
        self, task: Mapping[str, Any], project: str, config: LabelConfig, prompt: ObjectPrompt, steps: Steps
    ) -> tuple[PreparedImage, Outcome]:
        frame = prompt.first.frame
        data = task.get("data")
        address = config.image(prompt.first.to_name).address(
            data if isinstance(data, Mapping) else {}, frame.item_index
        )
        source = self._projects.locate(address, task.get("id"), project)
        return await self._embeddings.get(source, Urgency.CLICK, steps, (frame.width, frame.height))

    async def decode(
        self, task: object, image: PreparedImage, prompt: ObjectPrompt, steps: Steps
    ) -> tuple[NDArray[np.float32], float]:
        """The best mask's low-res logits (h, w) and its predicted IoU."""
        asked = prompt.to_engine(self._logits.before(task, image.key, prompt))
        with steps.measure("decode_prompt"):
            logits, score = await self._embeddings.with_room(
                lambda: self._decoder.submit(lambda: self._best(image.prepared, asked), Urgency.CLICK)
            )
        self._logits.keep(task, image.key, prompt, logits)
        return logits, score

    def _best(self, prepared: Prepared, prompt: Prompt) -> tuple[NDArray[np.float32], float]:
        decoded = self._engine.decode(prepared, prompt)
        best = int(np.argmax(decoded.scores))
        # The engine may reuse its output buffers for the next prompt.
        return np.array(decoded.logits[best], np.float32), min(1.0, max(0.0, float(decoded.scores[best])))

    def _size(self, image: PreparedImage, prompt: ObjectPrompt) -> tuple[int, int]:
        """Width and height of the answer: the editor's, as long as it shows the same picture."""
        width, height = prompt.first.frame.width, prompt.first.frame.height
        if not width or not height or width * height > self._settings.limits.image_pixels:
            return image.width, image.height
        if abs(width * image.height / (height * image.width) - 1) > ASPECT_TOLERANCE:
            raise Problem(
                409,
                "image",
                f"The editor shows an image of {width}x{height}, but the file is {image.width}x{image.height}: "
                "reload the task, the image was probably replaced.",
            )
        return width, height

    def _report(self, problems: list[Problem]) -> None:
        """Those that others in the same request outlived."""
        for problem in problems:
            self._errors.add(problem.where, problem.message)
            self._metrics.problems.labels(problem.where, str(problem.status)).inc()
            log.warning(problem.message, extra=fields(where=problem.where))

    def _note(self, task: object, outcome: Outcome, steps: Steps) -> None:
        milliseconds = steps.milliseconds()
        self.last_click = {"at": now(), "milliseconds": milliseconds, "cache": outcome}
        self._metrics.clicks.labels(outcome).inc()
        for step, value in milliseconds.items():
            self._metrics.steps.labels(step).observe(value / 1000)
        log.info("click", extra=fields(task=task, cache=outcome, milliseconds=milliseconds))
