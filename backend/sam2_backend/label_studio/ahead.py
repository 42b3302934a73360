"""Staying ahead of annotators: behind an opened task, the images of those that Label Studio hands out next.

With sequential sampling the label stream gives the unfinished task of the lowest id that nobody else has locked
(`projects/functions/next_task.py`, 1.23), and the Data Manager lists by id: the unfinished tasks behind an opened one
come next. No other order can be foreseen, so nothing is prepared in it before all that are left are few enough.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sam2_backend.images.sources import Source
from sam2_backend.label_studio.api import Api
from sam2_backend.label_studio.projects import Projects, project_number, uid_of
from sam2_backend.label_studio.tasks import sources_of, task_id
from sam2_backend.metrics import Metrics
from sam2_backend.problems import Problem, ProblemLog
from sam2_backend.serving.inference import Inference

Name = TypeVar("Name")
Value = TypeVar("Value")
log = logging.getLogger(__name__)
# Tasks ahead of an annotator, and the part of the store's room that they may take.
MOST, SHARE = 20, 4
# Seconds; how long a project's order is believed, and Label Studio not asked about it again after a failure.
BELIEVED_SECONDS = 300.0
MOST_REMEMBERED = 1000
MOST_AT_ONCE = 32
SEQUENTIAL = "Sequential sampling"
# Of a project; without the counts that Label Studio would make for more.
ORDER = "id,created_at,sampling,show_overlap_first,evaluate_predictions_automatically"


@dataclass(frozen=True, slots=True)
class _Known:
    """Of a project, until `until`. reason: why nothing is prepared in it."""

    sequential: bool
    reason: str
    until: float = 0.0


class Ahead:
    """Used from the event loop only."""

    def __init__(
        self,
        projects: Projects,
        api: Api,
        inference: Inference,
        metrics: Metrics,
        problems: ProblemLog,
    ) -> None:
        self._projects = projects
        self._api = api
        self._embeddings, self._prewarmer, self._gate = inference.embeddings, inference.prewarmer, inference.gate
        self._metrics = metrics
        self._problems = problems
        self._opened: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._prepared: OrderedDict[str, range] = OrderedDict()
        self._working: set[asyncio.Task[None]] = set()
        self._asking = False
        self._counts = {"opened": 0, "ready": 0, "asked": 0}
        self._reason = ""

    @property
    def most(self) -> int:
        """Images that are kept ahead."""
        return min(MOST, self._embeddings.room // SHARE)

    def describe(self) -> dict[str, object]:
        """For /status. ready: of the opened tasks, embedded before; asked: questions to Label Studio."""
        return {"most": self.most, **self._counts, "idle": self._reason}

    def opened(
        self,
        project: str,
        label_config: str,
        task: Mapping[str, Any],
        sources: Sequence[Source],
        *,
        clicked: bool = False,
        shared: bool = False,
    ) -> None:
        """An annotator looks at a task with these images.

        clicked: known from a click, which counts once, where Label Studio did not tell that the task was opened.
        shared: other backends get other tasks, so the next ones are not this one's.
        """
        number = task_id(task)
        if not isinstance(number, int) or not project_number(project).isdecimal():
            return  # not of Label Studio; a number becomes a part of an address that is asked
        if len(self._working) >= MOST_AT_ONCE:
            return
        if clicked and (project, number) in self._opened:
            return
        _remember(self._opened, (project, number), None)
        work = asyncio.create_task(self._follow(project, label_config, number, sources, shared))
        self._working.add(work)
        work.add_done_callback(self._working.discard)

    async def stop(self) -> None:
        for work in self._working:
            work.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    async def _follow(
        self, project: str, label_config: str, number: int, sources: Sequence[Source], shared: bool
    ) -> None:
        ready = await self._count(sources)
        if shared:
            self._reason = "Several backends share the tasks: samstudio prewarm spreads them."
            return
        if self._asking or (ready and number in self._prepared.get(project, ())):
            return
        self._asking = True
        try:
            await self._gate.pause()
            tasks = await self._next(project, number)
        except Problem as problem:
            self._reason = self._learn(project, False, problem.message).reason
            log.info("The next tasks are not prepared: %s", problem.message)
            return
        finally:
            self._asking = False
        found = sources_of(tasks, project, label_config, self._projects, self._problems)
        await self._prewarmer.add_first(project_number(project), itertools.islice(found, self.most))

    async def _count(self, sources: Iterable[Source]) -> bool:
        """Whether all images of an opened task were embedded before anybody asked."""
        known = [await self._embeddings.known(source) for source in sources]
        ready = bool(known) and all(known)
        self._counts["opened"] += 1
        self._counts["ready"] += ready
        self._metrics.opened.labels("ready" if ready else "missing").inc()
        return ready

    async def _next(self, project: str, number: int) -> list[Mapping[str, Any]]:
        """The tasks behind an opened one, as far as they can be foreseen. Raises Problem."""
        most = self.most
        known = await self._order(project) if most else _Known(False, "The cache has no room for images ahead.")
        self._reason = known.reason
        if known.reason:
            return []
        answer = await self._ask(project, "/api/tasks", _unfinished(project, number if known.sequential else 0, most))
        tasks = [task for task in answer.get("tasks") or [] if isinstance(task, Mapping)]
        if not known.sequential and answer.get("total") != len(tasks):
            reason = "hands out its tasks in an order that cannot be foreseen, and many are left."
            self._reason = self._learn(project, False, f"Project {project_number(project)} {reason}").reason
            return []
        # When half of them were opened, the next question comes; near the end of a project each opened task asks.
        half = task_id(tasks[most // 2]) if known.sequential and len(tasks) == most else None
        _remember(self._prepared, project, range(number, half if isinstance(half, int) else number + 1))
        return tasks

    async def _order(self, project: str) -> _Known:
        """How a project hands out its tasks. Raises Problem."""
        known = self._known.get(project)
        if known and time.monotonic() < known.until:
            return known
        said = await self._ask(project, f"/api/projects/{project_number(project)}", {"include": ORDER})
        reason = ""
        if "." in project and uid_of(said) != project:
            reason = "The opened task is of another Label Studio than that of LABEL_STUDIO_URL."
        elif said.get("evaluate_predictions_automatically"):
            # Asked for tasks, Label Studio would first have predictions of them made, and store them.
            reason = f"Project {project_number(project)} has predictions made wherever its tasks are listed."
        return self._learn(project, said.get("sampling") == SEQUENTIAL and not said.get("show_overlap_first"), reason)

    def _learn(self, project: str, sequential: bool, reason: str) -> _Known:
        known = _Known(sequential, reason, time.monotonic() + BELIEVED_SECONDS)
        _remember(self._known, project, known)
        return known

    async def _ask(self, project: str, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        """Label Studio's answer, an object. Raises Problem."""
        base = self._projects.label_studio(project)
        if not base:
            raise Problem(503, "ahead", "Label Studio's address is not known: set LABEL_STUDIO_URL of the backend.")
        self._counts["asked"] += 1
        answer = await self._api.get(base, path, query)
        if not isinstance(answer, Mapping):
            raise Problem(502, "ahead", f"Label Studio answered {path} with something else than an object.")
        return answer


def _unfinished(project: str, behind: int, most: int) -> dict[str, str]:
    """The query of `GET /api/tasks` for the first unfinished tasks behind one."""
    items = [
        {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": behind},
        {"filter": "filter:tasks:is_labeled", "operator": "equal", "type": "Boolean", "value": False},
    ]
    return {
        "project": project_number(project),
        "fields": "task_only",
        "resolve_uri": "false",
        "page": "1",
        "page_size": str(most),
        "query": json.dumps({"filters": {"conjunction": "and", "items": items}, "ordering": ["tasks:id"]}),
    }


def _remember(known: OrderedDict[Name, Value], name: Name, value: Value) -> None:
    known[name] = value
    known.move_to_end(name)
    if len(known) > MOST_REMEMBERED:
        known.popitem(last=False)
