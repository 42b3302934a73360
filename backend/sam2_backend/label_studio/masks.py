"""The boxes of tasks → masks with the same labels: one encode for each image, however many boxes it has.

Each task stands for itself: what is wrong with one is said in its report, and the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sam2_backend.label_studio.boxes import ANNOTATIONS, ON_SCREEN, PREDICTIONS, Boxes, boxes_of, name_of
from sam2_backend.label_studio.labeling_config import MASK_KINDS, LabelingConfig, LabelsTag, Output
from sam2_backend.label_studio.projects import Projects
from sam2_backend.label_studio.regions import DrawnObject, Region
from sam2_backend.label_studio.results.items import items
from sam2_backend.label_studio.results.mask import Mask
from sam2_backend.label_studio.tasks import task_data, task_id
from sam2_backend.label_studio.there import masks_there
from sam2_backend.metrics import Metrics
from sam2_backend.problems import Problem
from sam2_backend.serving.claim import Urgency
from sam2_backend.serving.inference import Inference
from sam2_backend.serving.proposals import without_a_mask
from sam2_backend.serving.store.memory import PreparedImage
from sam2_backend.settings import Settings
from sam2_backend.steps import Steps

log = logging.getLogger(__name__)
# Boxes whose logits are in memory at once.
DECODES_AHEAD = 8
State = Literal["made", "no boxes", "failed", "left"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """source, labels: as `boxes_of` takes them. to: a kind of MASK_KINDS, None for the first that knows the label."""

    source: str | None = None
    labels: frozenset[str] | None = None
    to: str | None = None

    @property
    def kinds(self) -> Sequence[str]:
        return MASK_KINDS if self.to is None else (self.to,)


def wanted_of(body: Mapping[str, Any]) -> Wanted:
    """Raises Problem (400) for what cannot be wanted."""
    source, labels, to = body.get("from"), body.get("labels"), body.get("to")
    if source is not None and not isinstance(source, str):
        raise Problem(400, "request", f'"from" is "{ANNOTATIONS}", "{PREDICTIONS}", a model version or null.')
    if labels is not None and not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
        raise Problem(400, "request", '"labels" is a list of labels or null.')
    if to is not None and to not in MASK_KINDS:
        raise Problem(400, "request", f'"to" is one of {", ".join(MASK_KINDS)} or null.')
    return Wanted(source, None if labels is None else frozenset(labels), to)


def seconds_of(body: Mapping[str, Any], most: float) -> float:
    """How long the caller wants to wait, and no longer than it may."""
    asked = body.get("seconds")
    usable = isinstance(asked, int | float) and not isinstance(asked, bool) and asked > 0
    return min(float(asked), most) if usable else most  # type: ignore[arg-type]


@dataclass(slots=True)
class TaskMasks:
    """What became of a task.

    state: `left` if it was not finished in time; error: why it `failed`. boxes: how many prompts it has.
    result: Label Studio's items, to be serialised with orjson. scores: predicted IoU of each mask.
    there: boxes that got none because theirs is on the screen already.
    problems: a sentence for each box that gave no mask. unknown: boxes by label that no output tag knows.
    """

    state: State = "left"
    error: str = ""
    boxes: int = 0
    result: list[dict[str, Any]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    there: int = 0
    problems: list[str] = field(default_factory=list)
    unknown: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        return {
            "state": self.state,
            "error": self.error,
            "boxes": self.boxes,
            "masks": len(self.scores),
            "result": self.result,
            "score": self.score,
            "problems": self.problems,
            "unknown": self.unknown,
        }

    @property
    def score(self) -> float | None:
        return round(float(np.mean(self.scores)), 4) if self.scores else None


@dataclass(frozen=True, slots=True)
class _Planned:
    drawn: DrawnObject
    output: Output
    naming: LabelsTag | None


@dataclass(frozen=True, slots=True)
class _Made:
    """items: none where there is a problem. covered: (side, side), the object on the squared image."""

    items: list[dict[str, Any]]
    score: float
    covered: NDArray[np.bool_]
    problem: str = ""


class MaskMaker:
    """Used from the event loop only."""

    def __init__(self, settings: Settings, projects: Projects, inference: Inference, metrics: Metrics) -> None:
        self._settings = settings
        self._projects = projects
        self._embeddings, self._predictor, self._gate = inference.embeddings, inference.predictor, inference.gate
        self._metrics = metrics
        self._images = asyncio.Semaphore(self._embeddings.ahead)
        self._decodes = asyncio.Semaphore(DECODES_AHEAD)

    def survey(self, tasks: Sequence[Mapping[str, Any]], config: LabelingConfig, wanted: Wanted) -> list[TaskMasks]:
        """What `make` would look at; no image is fetched, so nothing is `made`: a task with boxes is `left`."""
        return [self._plan(task, config, wanted)[0] for task in tasks]

    async def make(
        self,
        tasks: Sequence[Mapping[str, Any]],
        project: str,
        config: LabelingConfig,
        wanted: Wanted,
        urgency: Urgency,
        seconds: float,
    ) -> list[TaskMasks]:
        """One for each task. What is not finished after `seconds` is given up and `left`; its image stays embedded."""
        if not tasks:
            return []
        working = [asyncio.create_task(self._task(task, project, config, wanted, urgency)) for task in tasks]
        try:
            await asyncio.wait(working, timeout=seconds)
        finally:
            late = [work for work in working if work.cancel()]
        await asyncio.gather(*late, return_exceptions=True)
        return [TaskMasks() if work.cancelled() else work.result() for work in working]

    async def _task(
        self, task: Mapping[str, Any], project: str, config: LabelingConfig, wanted: Wanted, urgency: Urgency
    ) -> TaskMasks:
        report, planned = self._plan(task, config, wanted)
        if report.state != "left":
            return report
        try:
            async with self._turn(urgency):
                for group in _by_image(planned):
                    await self._image(task, project, config, group, wanted, urgency, report)
        except Problem as problem:
            return self._failed(report, problem.message)
        except Exception as error:
            log.exception("The boxes of a task could not be made masks")
            return self._failed(report, f"{type(error).__name__}: see the backend's log")
        if not report.result and not report.there:
            return self._failed(report, " ".join(report.problems))
        report.state = "made"
        return report

    @contextlib.asynccontextmanager
    async def _turn(self, urgency: Urgency) -> AsyncIterator[None]:
        """So many images at once; an annotator who asks waits for none of them."""
        if urgency == Urgency.CLICK:
            yield
            return
        async with self._images:
            if urgency == Urgency.PREWARM:
                await self._gate.pause()
            yield

    def _plan(
        self, task: Mapping[str, Any], config: LabelingConfig, wanted: Wanted
    ) -> tuple[TaskMasks, list[_Planned]]:
        """What is to be decoded, and a report that is final unless it says `left`."""
        found: Boxes = boxes_of(task, wanted.source, wanted.labels)
        report = TaskMasks(problems=found.problems, boxes=len(found.objects))
        planned: list[_Planned] = []
        for drawn in found.objects:
            region = drawn.first
            try:
                config.image(region.to_name)
                output, naming = config.output(region.to_name, region.labels, split=region.split, kinds=wanted.kinds)
                if not region.labels and (output.labelled or naming):
                    raise Problem(422, "masks", "it has no label.")
                planned.append(_Planned(drawn, output, naming))
            except Problem as problem:
                report.problems.append(f"{name_of(region)}: {problem.message}")
                for label in config.unknown(region.to_name, region.labels, wanted.kinds):
                    report.unknown[label] = report.unknown.get(label, 0) + 1
        if not found:
            report.state = "no boxes"
        elif not planned:
            self._failed(report, " ".join(report.problems))
        return report, planned

    async def _image(
        self,
        task: Mapping[str, Any],
        project: str,
        config: LabelingConfig,
        planned: Sequence[_Planned],
        wanted: Wanted,
        urgency: Urgency,
        report: TaskMasks,
    ) -> None:
        """All masks of one image. Raises Problem if the image cannot be had or the device computes nothing."""
        first = planned[0].drawn.first
        address = config.image(first.to_name).address(task_data(task), first.frame.item_index)
        steps = Steps()
        source = self._projects.source(address, task_id(task), project)
        await self._embeddings.caught_up(urgency)
        image, _ = await self._embeddings.get(source, urgency, steps)
        answers = await asyncio.gather(*(self._mask(each, image, urgency, steps) for each in planned))
        for each, made in zip(planned, answers, strict=True):
            self._metrics.masks.labels("none" if made.problem else "made").inc()
            if made.problem:
                report.problems.append(f"{name_of(each.drawn.first)}: {made.problem}")
        good = [made for made in answers if not made.problem]
        if wanted.source == ON_SCREEN:
            new = await asyncio.to_thread(self._new, task, first, good)
            report.there += len(good) - len(new)
            good = new
        for made in good:
            report.result += made.items
            report.scores.append(made.score)

    def _new(self, task: Mapping[str, Any], region: Region, good: Sequence[_Made]) -> list[_Made]:
        """Those that the annotator does not have on the image of this region."""
        covered = [made.covered for made in good]
        if not covered:
            return []
        side, most_pixels = len(covered[0]), self._settings.limits.image_pixels
        there = masks_there(task, region.to_name, side, most_pixels, region.frame.item_index, boxes=False)
        return [good[at] for at in without_a_mask(covered, there)]

    async def _mask(self, planned: _Planned, image: PreparedImage, urgency: Urgency, steps: Steps) -> _Made:
        region = planned.drawn.first
        frame = region.frame
        size = frame.size_on(image.width, image.height, self._settings.limits.image_pixels)
        if size is None:
            drawn, upright = f"{frame.width}x{frame.height}", f"{image.width}x{image.height}"
            problem = f"it was drawn on an image of {drawn}, but the file, upright, is {upright}."
            return _Made([], 0, np.zeros((0, 0), np.bool_), problem)
        async with self._decodes:
            logits, score = await self._predictor.alone(image, planned.drawn.prompt(), urgency, steps)
            mask = Mask(logits, *size)
            style = self._settings.polygon
            found = await asyncio.to_thread(items, mask, region, planned.output, planned.naming, score, style)
        return _Made(found, score, logits > 0, "" if found else "the model sees no object there.")

    def _failed(self, report: TaskMasks, error: str) -> TaskMasks:
        report.state, report.error, report.result, report.scores = "failed", error, [], []
        return report


def _by_image(planned: Sequence[_Planned]) -> list[list[_Planned]]:
    groups: dict[object, list[_Planned]] = {}
    for each in planned:
        groups.setdefault((each.drawn.first.to_name, each.drawn.first.frame.item_index), []).append(each)
    return list(groups.values())


def summarised(made: Sequence[TaskMasks], project: str, seconds: float) -> str:
    """What became of several tasks that were asked for at once, as a sentence."""
    counted = {state: sum(masks.state == state for masks in made) for state in ("made", "no boxes", "failed", "left")}
    parts = [f"{counted['made']} of {len(made)} tasks of project {project} got masks for their boxes"]
    if counted["no boxes"]:
        parts.append(f"{counted['no boxes']} have no boxes or key points")
    if counted["failed"]:
        parts.append(f"{counted['failed']} failed")
    if counted["left"]:
        parts.append(f"{counted['left']} were left when {seconds:g} s were over: run samstudio masks {project}")
    return ", ".join(parts) + "."
