"""Every object of the open task's image → masks with one label, as `all` in the editor's text field asks for.

Clicks come first: the image is encoded once and the points are decoded one by one, each after all clicks that wait.
The label is never guessed: it is typed, or the only one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam2_backend.engine.interface import POSITIVE, Prompt
from sam2_backend.label_studio.labeling_config import MASK_KINDS, LabelingConfig
from sam2_backend.label_studio.projects import Projects
from sam2_backend.label_studio.regions import Frame, Region
from sam2_backend.label_studio.results.items import items
from sam2_backend.label_studio.results.mask import Mask
from sam2_backend.label_studio.tasks import task_data, task_id
from sam2_backend.label_studio.there import masks_there
from sam2_backend.problems import Problem
from sam2_backend.serving.claim import Urgency
from sam2_backend.serving.inference import Inference
from sam2_backend.serving.proposals import Proposal, distinct, grid, worth_showing
from sam2_backend.serving.store.memory import PreparedImage
from sam2_backend.settings import Settings
from sam2_backend.steps import Steps

# For the points, once the image is embedded: a CPU that takes 21 ms for each needs half of it.
SECONDS = 10.0
# Points between two looks at the clock.
BATCH = 8
# Label Studio 1.23.2 takes 8 s to show 100 brush masks.
MOST = 50


@dataclass(slots=True)
class Everything:
    """result: Label Studio's items, to be serialised with orjson. scores: predicted IoU of each mask, best first.

    left_out: masks beyond MOST. there: masks that the task has already. whole: every point was asked.
    """

    label: str
    result: list[dict[str, Any]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    left_out: int = 0
    there: int = 0
    whole: bool = True


class ObjectFinder:
    """Used from the event loop only."""

    def __init__(self, settings: Settings, projects: Projects, inference: Inference) -> None:
        self._settings = settings
        self._projects = projects
        self._embeddings, self._predictor = inference.embeddings, inference.predictor

    async def find(
        self,
        task: Mapping[str, Any],
        project: str,
        config: LabelingConfig,
        to_name: str,
        label: str,
        seconds: float = SECONDS,
    ) -> Everything:
        """to_name: the image tag. label: as `label_of` gives it. Raises Problem."""
        image_tag = config.image(to_name)
        labels = (label,) if label else ()
        split = any(tag.to_name == to_name for tag in config.label_tags)
        output, naming = config.output(to_name, labels, split=split, kinds=MASK_KINDS)
        listed = task_data(task).get(image_tag.key)
        if isinstance(listed, list) and len(listed) > 1:
            raise Problem(422, "masks", f"This task has {len(listed)} images, and all looks at tasks with one image.")
        source = self._projects.source(image_tag.address(task_data(task), None), task_id(task), project)
        image, _ = await self._embeddings.get(source, Urgency.PREVIEW, Steps())
        proposals, whole = await self._proposals(image, seconds)
        if not proposals:
            return Everything(label, whole=whole)
        side, most_pixels = len(proposals[0].logits), self._settings.limits.image_pixels
        there = await asyncio.to_thread(masks_there, task, to_name, side, most_pixels)
        chosen = await asyncio.to_thread(distinct, proposals, there)
        found = Everything(label, left_out=max(0, len(chosen) - MOST), there=len(there), whole=whole)
        drawn = Region("", to_name, (), True, labels, split, Frame(0, 0, 0.0, None))
        for each in chosen[:MOST]:
            mask = Mask(each.logits.astype(np.float32), image.width, image.height)
            style = self._settings.polygon
            found.result += await asyncio.to_thread(items, mask, drawn, output, naming, each.score, style)
            found.scores.append(each.score)
        return found

    async def _proposals(self, image: PreparedImage, seconds: float) -> tuple[list[Proposal], bool]:
        """What the points of the grid gave, and whether all were asked in time."""
        points = grid()
        until = time.monotonic() + seconds
        found: list[Proposal] = []
        for first in range(0, len(points), BATCH):
            if time.monotonic() > until:
                return found, False
            batch = (self._point(image, point) for point in points[first : first + BATCH])
            found += [proposal for proposals in await asyncio.gather(*batch) for proposal in proposals]
        return found, True

    async def _point(self, image: PreparedImage, point: NDArray[np.float32]) -> list[Proposal]:
        prompt = Prompt(point[None], np.array([POSITIVE], np.int32))
        decoded = await self._predictor.candidates(image, prompt, Urgency.PREVIEW)
        return await asyncio.to_thread(worth_showing, decoded)


def label_of(config: LabelingConfig, to_name: str, asked: str) -> str:
    """Of the masks: what was typed, or the only label that there is, or "" where none is needed. Raises Problem."""
    known = config.labels(to_name, MASK_KINDS)
    if not asked and len(known) <= 1:
        return next(iter(known), "")
    fitting = [label for label in known if label == asked] or [
        label for label in known if label.casefold() == asked.casefold()
    ]
    if len(fitting) == 1:
        return fitting[0]
    begun = f'No label is called "{asked[:40]}".' if asked else "Which label shall they have?"
    raise Problem(422, "masks", f"{begun} {_ways(known)}")


def _ways(known: Sequence[str]) -> str:
    if not known:
        return "Type all alone: masks have no label in this project."
    ways = [f"all {label}" for label in known[:3]]
    more = ", and so on" if len(known) > len(ways) else ""
    return f"Type {' or '.join(ways)}{more}."
