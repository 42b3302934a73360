"""/predict: a click becomes a mask; a task that was merely opened is answered at once and prepared behind that.

What is typed into the editor's text field comes as a click does (`text_field.py`).

*Retrieve predictions* of the Data Manager asks for several tasks without a prompt: the boxes that they have become
masks. A task alone looks the same as one that was opened, whose page waits for the answer, and is taken for that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sam2_backend.engine.interface import Prompt
from sam2_backend.images.sources import Source
from sam2_backend.label_studio import labeling_config, text_field
from sam2_backend.label_studio.ahead import Ahead
from sam2_backend.label_studio.boxes import ON_SCREEN
from sam2_backend.label_studio.everything import SECONDS, ObjectFinder, label_of
from sam2_backend.label_studio.labeling_config import LabelingConfig, LabelsTag, Output, TextField
from sam2_backend.label_studio.mask_input import refining, taken_up
from sam2_backend.label_studio.masks import MaskMaker, TaskMasks, Wanted, summarised
from sam2_backend.label_studio.projects import Projects, project_number, project_uid
from sam2_backend.label_studio.regions import DrawnObject, Frame, Region, drawn_objects, nothing_begun
from sam2_backend.label_studio.results.items import items
from sam2_backend.label_studio.results.mask import Mask
from sam2_backend.label_studio.tasks import sources_of, task_data, task_id
from sam2_backend.logs import fields
from sam2_backend.metrics import Metrics
from sam2_backend.problems import Problem, ProblemLog, now
from sam2_backend.serving.claim import Urgency
from sam2_backend.serving.embeddings import Outcome
from sam2_backend.serving.inference import Inference
from sam2_backend.serving.refine import Strokes
from sam2_backend.serving.store.memory import PreparedImage
from sam2_backend.settings import Settings
from sam2_backend.steps import Steps

log = logging.getLogger(__name__)
MAX_TASKS = 10_000


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """result: the regions that were drawn, None where a task was only opened. shared: as `Ahead.opened` takes it."""

    tasks: list[Mapping[str, Any]]
    project: str
    label_config: str
    result: object | None
    shared: bool = False


def parse_request(body: object, *, shared: bool = False) -> PredictRequest:
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
    return PredictRequest(
        tasks=tasks,
        project=project_uid(body.get("project")),
        label_config=label_config if isinstance(label_config, str) else "",
        result=context.get("result") if isinstance(context, Mapping) else None,
        shared=shared,
    )


@dataclass(frozen=True, slots=True)
class _Click:
    """An object that was drawn: where its image lies, what SAM2 is asked, and which tags take the mask.

    region: the first that was drawn of it. naming: the `Labels` tag beside a plain output tag. replaces: the id of the
    region whose mask was taken up.
    """

    region: Region
    source: Source
    prompt: Prompt
    strokes: Strokes
    output: Output
    naming: LabelsTag | None
    replaces: str | None


def text_field_of(request: PredictRequest, projects: Projects) -> TextField | None:
    """The project's text field; None too for a config that cannot be read, which a click is told."""
    try:
        return labeling_config.read(request.label_config or projects.get(request.project).label_config).field
    except Problem:
        return None


class Predictions:
    """Used from the event loop only."""

    def __init__(
        self,
        settings: Settings,
        projects: Projects,
        inference: Inference,
        masks: MaskMaker,
        ahead: Ahead,
        metrics: Metrics,
        problems: ProblemLog,
    ) -> None:
        self._settings = settings
        self._model_version = inference.model_version
        self._projects = projects
        self._embeddings, self._predictor = inference.embeddings, inference.predictor
        self._prewarmer, self._gate = inference.prewarmer, inference.gate
        self._masks = masks
        self._ahead = ahead
        self._objects = ObjectFinder(settings, projects, inference)
        self._metrics = metrics
        self._problems = problems
        self.last_click: dict[str, object] | None = None

    async def predict(self, request: PredictRequest) -> dict[str, Any]:
        """The answer's body, to be serialised with orjson. Raises Problem."""
        if request.result is None:
            if len(request.tasks) > 1:
                return {"results": await self._retrieved(request)}
            for task in request.tasks:
                self._opened(request, task)
            return {"results": [[] for _ in request.tasks]}
        field = text_field_of(request, self._projects)
        typed = text_field.typed(request.result, field)
        if field and typed is not None and request.tasks:
            return {"results": [await self._typed(request, field, typed)]}
        if request.result == [] or not request.tasks:
            return {"results": [{"result": []} for _ in request.tasks]}
        async with self._gate.enter():
            return {"results": await self._clicks(request)}

    def _opened(self, request: PredictRequest, task: Mapping[str, Any]) -> None:
        sources = list(self._sources(request, [task]))
        self._ahead.opened(request.project, request.label_config, task, sources, shared=request.shared)
        self._prewarmer.opened(project_number(request.project), iter(sources), batch=False)

    def _sources(self, request: PredictRequest, tasks: Sequence[Mapping[str, Any]]) -> Iterator[Source]:
        return sources_of(tasks, request.project, request.label_config, self._projects, self._problems)

    async def _retrieved(self, request: PredictRequest) -> list[dict[str, Any] | list[Any]]:
        """A prediction for each task with boxes that could be finished in time; an empty list stores none."""
        try:
            config = self._config(request)
        except Problem as problem:
            self._problems.report(problem)
            return [[] for _ in request.tasks]
        made = await self._masks.make(
            request.tasks, request.project, config, Wanted(), Urgency.OPENED, self._settings.limits.predict_seconds
        )
        others = [task for task, masks in zip(request.tasks, made, strict=True) if masks.state in ("no boxes", "left")]
        if others:
            self._prewarmer.opened(project_number(request.project), self._sources(request, others), batch=True)
        summary = summarised(made, project_number(request.project), self._settings.limits.predict_seconds)
        log.info(summary, extra=fields(project=request.project))
        for task, masks in zip(request.tasks, made, strict=True):
            self._remember(task, masks)
        if any(masks.state != "made" for masks in made):
            self._problems.remember("masks", summary)
        return [
            {"result": masks.result, "score": masks.score, "model_version": self._model_version}
            if masks.state == "made"
            else []
            for masks in made
        ]

    async def _typed(self, request: PredictRequest, field: TextField, typed: str) -> dict[str, Any]:
        """What the editor's text field asks for; what is wrong is said there, since an error would show nothing."""
        word, rest = text_field.command(typed)
        if word == text_field.ALL:
            return await self._typed_all(request, field, rest)
        if word != text_field.BOXES or rest:
            return {"result": text_field.said(field, text_field.unknown(typed))}
        limit = self._settings.limits.predict_seconds
        async with self._gate.enter():
            (masks,) = await self._masks.make(
                request.tasks[:1], request.project, self._config(request), Wanted(ON_SCREEN), Urgency.CLICK, limit
            )
        self._remember(request.tasks[0], masks)
        said = text_field.said(field, text_field.of_boxes(masks, limit))
        return {"result": said + masks.result, "score": masks.score, "model_version": self._model_version}

    async def _typed_all(self, request: PredictRequest, field: TextField, label: str) -> dict[str, Any]:
        task, config = request.tasks[0], self._config(request)
        try:
            label = label_of(config, field.to_name, label)
        except Problem as problem:
            return {"result": text_field.said(field, [problem.message])}
        async with self._gate.enter():
            found = await self._objects.find(task, request.project, config, field.to_name, label)
        log.info("all", extra=fields(task=task_id(task), objects=len(found.scores), whole=found.whole))
        said = text_field.said(field, text_field.of_all(found, SECONDS))
        score = round(float(np.mean(found.scores)), 4) if found.scores else None
        return {"result": said + found.result, "score": score, "model_version": self._model_version}

    def _remember(self, task: Mapping[str, Any], masks: TaskMasks) -> None:
        for sentence in masks.problems or ([masks.error] if masks.error else []):
            self._problems.remember("masks", f"Task {task_id(task)}: {sentence}")

    def _config(self, request: PredictRequest) -> LabelingConfig:
        return labeling_config.read(request.label_config or self._projects.get(request.project).label_config)

    async def _clicks(self, request: PredictRequest) -> list[dict[str, Any]]:
        config = self._config(request)
        objects = drawn_objects(request.result)
        results: list[dict[str, Any]] = []
        problems: list[Problem] = []
        for task in request.tasks:
            try:
                results.append(await self._click(task, request, config, objects))
            except Problem as problem:
                problems.append(problem)
                results.append({"result": [], "error": problem.message})
        if len(problems) == len(request.tasks):
            raise problems[0]
        self._report(problems)
        return results

    async def _click(
        self, task: Mapping[str, Any], request: PredictRequest, config: LabelingConfig, objects: list[DrawnObject]
    ) -> dict[str, Any]:
        steps = Steps()
        clicks, problems = await self._parsed(task, request.project, config, objects)
        sources = [click.source for click in clicks]
        self._ahead.opened(request.project, request.label_config, task, sources, clicked=True, shared=request.shared)
        found: list[dict[str, Any]] = []
        scores: list[float] = []
        outcome: Outcome = "memory"
        for click in clicks:
            try:
                written, score, how = await self._mask(task_id(task), click, steps)
            except Problem as problem:
                problems.append(problem)
                continue
            found += written
            scores.append(score)
            outcome = outcome if how == "memory" else how
        if not scores:
            raise problems[0]
        self._report(problems)
        self._note(task_id(task), outcome, steps)
        return {"result": found, "score": float(np.mean(scores)), "model_version": self._model_version}

    async def _parsed(
        self, task: Mapping[str, Any], project: str, config: LabelingConfig, objects: list[DrawnObject]
    ) -> tuple[list[_Click], list[Problem]]:
        """One click for each object, and why there is none for the others."""
        clicks: list[_Click] = []
        problems: list[Problem] = []
        for drawn in objects:
            try:
                clicks.append(await self._parsed_one(task, project, config, drawn))
            except Problem as problem:
                problems.append(problem)
        return clicks, problems

    async def _parsed_one(
        self, task: Mapping[str, Any], project: str, config: LabelingConfig, drawn: DrawnObject
    ) -> _Click:
        """Raises Problem."""
        region, prompt, replaces = drawn.first, drawn.prompt(), None
        kinds: Sequence[str] = labeling_config.OUTPUT_KINDS
        address = config.image(region.to_name).address(task_data(task), region.frame.item_index)
        if drawn.begins_with_less:
            limit = self._settings.limits.image_pixels
            mask = await asyncio.to_thread(taken_up, task, region, self._predictor.mask_side, limit)
            if mask is not None:
                region, prompt = replace(region, labels=mask.labels, split=mask.split), refining(mask, drawn)
                kinds, replaces = (mask.kind,), mask.id
            elif drawn.negative:
                raise nothing_begun()
        output, naming = config.output(region.to_name, region.labels, split=region.split, kinds=kinds)
        source = self._projects.source(address, task_id(task), project)
        return _Click(region, source, prompt, drawn.strokes, output, naming, replaces)

    async def _mask(self, task: object, click: _Click, steps: Steps) -> tuple[list[dict[str, Any]], float, Outcome]:
        """The items, their score, and where the embedding was. Raises Problem."""
        region = click.region
        frame = (region.frame.width, region.frame.height)
        image, outcome = await self._embeddings.get(click.source, Urgency.CLICK, steps, frame)
        logits, score = await self._predictor.mask(task, image, click.prompt, click.strokes, steps)
        mask = Mask(logits, *self._size(image, region.frame))
        with steps.measure("render"):
            style = self._settings.polygon
            how = (click.output, click.naming, score, style, click.replaces)
            found = await asyncio.to_thread(items, mask, region, *how)
        return found, score, outcome

    def _size(self, image: PreparedImage, frame: Frame) -> tuple[int, int]:
        """Width and height of the answer: the editor's, as long as it shows the same picture."""
        size = frame.size_on(image.width, image.height, self._settings.limits.image_pixels)
        if size is None:
            raise Problem(
                409,
                "image",
                f"The editor shows an image of {frame.width}x{frame.height}, but the file is "
                f"{image.width}x{image.height}: reload the task, the image was probably replaced.",
            )
        return size

    def _report(self, problems: list[Problem]) -> None:
        """Those that others in the same request outlived."""
        for problem in problems:
            self._problems.report(problem)

    def _note(self, task: object, outcome: Outcome, steps: Steps) -> None:
        milliseconds = steps.milliseconds()
        self.last_click = {"at": now(), "milliseconds": milliseconds, "cache": outcome}
        self._metrics.clicks.labels(outcome).inc()
        for step, value in milliseconds.items():
            self._metrics.steps.labels(step).observe(value / 1000)
        log.info("click", extra=fields(task=task, cache=outcome, milliseconds=milliseconds))
