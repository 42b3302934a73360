"""`samstudio masks`: the boxes and key points that a project's tasks have already become masks with the same labels.

The backend makes them, Label Studio keeps them, and its predictions of one model version are the only record of what is
done: killing this anywhere and starting it again leaves exactly one prediction a task.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from xml.sax.saxutils import quoteattr

from samstudio import ending, lock
from samstudio.backend_client import Backend, BackendError
from samstudio.ending import Ended
from samstudio.errors import NothingToLookAt, SamstudioError
from samstudio.jobs import Progress, Record
from samstudio.labelstudio import LabelStudio, predictions, projects
from samstudio.patience import patiently

#: Tasks in one question to a backend; a balancer looks at one.
BATCH = 20
#: Questions under way, so that the backend works while Label Studio reads and writes; for each backend of a fleet.
LANES, LANES_EACH = 2, 4
#: The backend answers within this many seconds, and says which tasks are left.
SECONDS = 60.0
#: What is made is stored when there are so many predictions, bytes, or seconds since the last time.
STORED_AT_ONCE, STORED_BYTES, STORED_SECONDS = 50, 16 << 20, 10.0
#: What the backend gets to know of a task.
SENT = ("id", "data", "annotations", "predictions")


@dataclass(frozen=True)
class Wanted:
    """What masks are made of, and into what.

    Attributes:
        source: `annotations`, `predictions`, or the model version of predictions.
        to: `brush`, `polygon`, `bitmask`, or "" for the first of these controls that knows the label.
        labels: of the boxes to take; none for all.
        called: what the model version calls the source, "" for what it is.
    """

    source: str = "annotations"
    to: str = ""
    labels: tuple[str, ...] = ()
    called: str = ""

    def version(self, model: str) -> str:
        """The model version of the predictions. It ends in a bracket, so that none is the beginning of another."""
        which = f"{', '.join(sorted(self.labels))} in " if self.labels else ""
        return f"masks of {which}{self.called or self.source}{f' as {self.to}' if self.to else ''} ({model})"


@dataclass
class Survey:
    """What there is to do, found without looking at an image.

    Attributes:
        tasks: ids of the tasks that lack the prediction and have boxes.
        without: tasks that have no box or key point.
        unknown: boxes by label that no control can hold as a mask.
    """

    tasks: list[int] = field(default_factory=list)
    boxes: int = 0
    already: int = 0
    without: int = 0
    unknown: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Outcome:
    """What became of some tasks.

    Attributes:
        finished: tasks that are done with, whatever became of them.
        predictions: to be stored.
        bytes: of the answers, about.
        failures: `{"task", "reason"}`. `problems`: `{"task", "problem"}`, one for each box that gave no mask.
    """

    finished: int = 0
    masks: int = 0
    bytes: int = 0
    predictions: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        self.finished += other.finished
        self.masks += other.masks
        self.bytes += other.bytes
        self.predictions += other.predictions
        self.failures += other.failures
        self.problems += other.problems


@dataclass(frozen=True)
class Job:
    """One project, one kind of masks. `fleet`: the backends behind `backend` when that is a balancer."""

    studio: LabelStudio
    backend: Backend
    project: int
    wanted: Wanted
    label_config: str
    version: str
    fleet: Sequence[Backend] = ()
    progress: Progress = field(default_factory=Progress)

    @property
    def name(self) -> str:
        """The same for whoever makes the same."""
        seen = hashlib.sha256(f"{self.studio.url} {self.project} {self.version}".encode()).hexdigest()[:8]
        return f"masks-{self.project}-{seen}"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep a second process from making the same.

        Raises:
            SamstudioError: another one does already.
        """
        with lock.only_one(
            self.name,
            message=f"Another samstudio masks makes the same for project {self.project} already.",
            command=f"samstudio jobs show {self.name}   # wait for it, or: samstudio jobs cancel {self.name}",
        ):
            yield

    def survey(self, limit: int = 0, only: Sequence[int] = ()) -> Survey:
        """Look at the tasks that lack their prediction, and no further than at `limit` of those that have boxes.

        Args:
            only: tasks to look at, in place of all.

        Raises:
            NothingToLookAt: no task, or none with boxes.
            SamstudioError: labels that no control can hold as a mask.
            Ended: this process was asked to end.
        """
        found = Survey(already=predictions.count_with(self.studio, self.project, self.version))
        for page in self._lacking(only):
            ending.step()
            for task, report in zip(page, self._asked(page, survey=True), strict=True):
                if limit and len(found.tasks) >= limit:
                    break
                self._count(found, task["id"], report)
            if limit and len(found.tasks) >= limit:
                break
        if found.unknown:
            raise self._without_a_control(found.unknown)
        if not found.tasks and not found.already and not found.failures:
            raise self._nothing(found)
        return found

    def run(self, survey: Survey, tell: Callable[[Progress], None], record: Record | None = None) -> dict[str, Any]:
        """Make and store what the survey found.

        Args:
            record: where to write down how far it is.

        Returns:
            as docs/command-line.md shows it.

        Raises:
            SamstudioError: a server refused, or was away for longer than `PATIENCE`; what is stored stays.
            Ended: this process was asked to end; what is made is stored.
        """
        begun = stored_at = time.monotonic()
        self.progress.total = len(survey.tasks) + len(survey.failures)
        self.progress.failed = len(survey.failures)
        total, unstored, stored = Outcome(failures=list(survey.failures)), Outcome(), 0
        try:
            for outcome in self._outcomes(survey.tasks):
                total.add(outcome)
                unstored.add(outcome)
                total.predictions.clear()
                now = time.monotonic()
                full = len(unstored.predictions) >= STORED_AT_ONCE or unstored.bytes >= STORED_BYTES
                if full or now - stored_at >= STORED_SECONDS or total.finished == len(survey.tasks):
                    stored += self._store(unstored.predictions, record)
                    unstored, stored_at = Outcome(), time.monotonic()
                self._progressed(total, len(survey.failures), now - begun)
                tell(self.progress)
                if record:
                    record.tell(self.progress, total.failures, total.problems)
        except SamstudioError as error:
            error.changed = stored > 0
            raise
        except Ended:
            self._progressed(total, len(survey.failures), time.monotonic() - begun)
            self._leave(unstored, record)
            if record:
                record.tell(self.progress, total.failures, total.problems)
            raise
        self._tell_the_end()
        return {
            **described(self, survey, dry_run=False),
            "changed": stored > 0,
            "masked": stored,
            "masks": total.masks,
            "failed": len(total.failures),
            "failures": total.failures,
            "problems": total.problems,
            "seconds": round(time.monotonic() - begun, 1),
        }

    def _leave(self, unstored: Outcome, record: Record | None) -> None:
        """Store what is made, unless Label Studio is away, and tell the backends that this job goes no further."""
        try:
            self._store(unstored.predictions, record)
        except (SamstudioError, Ended):
            self.progress.done -= len(unstored.predictions)
            self.progress.masks -= unstored.masks
        self._tell_the_end()

    def _progressed(self, total: Outcome, hopeless: int, seconds: float) -> None:
        """hopeless: failures that the survey found."""
        failed = len(total.failures)
        self.progress.done, self.progress.failed = total.finished - (failed - hopeless), failed
        self.progress.rate, self.progress.masks = total.finished / max(seconds, 1e-9), total.masks

    def _lacking(self, only: Sequence[int]) -> Iterator[list[dict[str, Any]]]:
        if not only:
            yield from predictions.tasks_without(self.studio, self.project, self.version)
        for start in range(0, len(only), predictions.PAGE):
            yield self._without(predictions.tasks_of(self.studio, self.project, only[start : start + predictions.PAGE]))

    def _without(self, tasks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those that lack their prediction."""
        return [task for task in tasks if all(each["model_version"] != self.version for each in task["predictions"])]

    def _outcomes(self, ids: Sequence[int]) -> Iterator[Outcome]:
        """In the tasks' order; only a few batches ahead of whoever stores them."""
        size, lanes = (1, LANES_EACH * len(self.fleet)) if self.fleet else (BATCH, LANES)
        waiting: deque[Future[Outcome]] = deque()
        pool = ThreadPoolExecutor(lanes)
        try:
            for start in range(0, len(ids), size):
                ending.step()
                waiting.append(pool.submit(self._made, ids[start : start + size]))
                if len(waiting) > lanes:
                    yield ending.result(waiting.popleft())
            while waiting:
                yield ending.result(waiting.popleft())
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _made(self, ids: Sequence[int]) -> Outcome:
        tasks = patiently(partial(predictions.tasks_of, self.studio, self.project, ids))
        lacking = self._without(tasks)
        outcome = Outcome(finished=len(ids) - len(lacking))
        outcome.add(self._ask(lacking))
        return outcome

    def _ask(self, tasks: Sequence[dict[str, Any]]) -> Outcome:
        """What is not finished in time is asked for again, each task alone."""
        outcome = Outcome()
        if not tasks:
            return outcome
        ending.step()
        for task, report in zip(tasks, patiently(partial(self._asked, tasks)), strict=True):
            if report["state"] == "left" and len(tasks) > 1:
                outcome.add(self._ask([task]))
                continue
            outcome.finished += 1
            if report["state"] == "made":
                outcome.masks += report["masks"]
                outcome.problems += [{"task": task["id"], "problem": text} for text in report["problems"]]
                outcome.bytes += sum(_size(item) for item in report["result"])
                outcome.predictions.append(
                    {
                        "task": task["id"],
                        "result": report["result"],
                        "score": report["score"],
                        "model_version": self.version,
                    }
                )
            elif report["state"] != "no boxes":
                reason = report["error"] or f"not finished within {SECONDS:g} s"
                outcome.failures.append({"task": task["id"], "reason": reason})
        return outcome

    def _asked(self, tasks: Sequence[dict[str, Any]], *, survey: bool = False) -> list[dict[str, Any]]:
        return self.backend.masks(self._question(tasks, survey=survey), SECONDS)

    def _question(self, tasks: Sequence[dict[str, Any]], *, survey: bool, ended: bool = False) -> dict[str, Any]:
        unused = "predictions" if self.wanted.source == "annotations" else "annotations"
        return {
            "project": self.project,
            "label_config": self.label_config,
            "tasks": [{**{key: task[key] for key in SENT}, unused: []} for task in tasks],
            "from": self.wanted.source,
            "to": self.wanted.to or None,
            "labels": list(self.wanted.labels) or None,
            "seconds": SECONDS,
            "survey": survey,
            "job": None if survey else {"name": self.name, **self.progress.words(), "ended": ended},
        }

    def _tell_the_end(self) -> None:
        """A backend shows a job until it hears this; of one that was killed, until it was silent for some minutes."""
        for backend in self.fleet or (self.backend,):
            with suppress(BackendError):
                backend.masks(self._question([], survey=False, ended=True), seconds=0)

    def _store(self, made: Sequence[dict[str, Any]], record: Record | None) -> int:
        if not made:
            return 0
        sending = record.sending(self.version, [each["task"] for each in made]) if record else nullcontext()
        with sending:
            return patiently(partial(predictions.import_missing, self.studio, self.project, made))

    def _count(self, found: Survey, task: int, report: dict[str, Any]) -> None:
        found.unknown.update(report["unknown"])
        if report["state"] == "no boxes":
            found.without += 1
        elif report["state"] == "failed":
            found.failures.append({"task": task, "reason": report["error"]})
        else:
            found.tasks.append(task)
            found.boxes += report["boxes"]

    def _without_a_control(self, unknown: Counter[str]) -> SamstudioError:
        counted = ", ".join(f"{label!r} ({count} boxes)" for label, count in unknown.most_common())
        tags = "".join(f"<Label value={quoteattr(label)}/>" for label in sorted(unknown))
        kinds = {"brush": "<BrushLabels>", "polygon": "<PolygonLabels>", "bitmask": "<BitmaskLabels>"}
        control = kinds.get(self.wanted.to) or " or ".join(kinds.values())
        return SamstudioError(
            "There are labels that no control can hold as a mask, so nothing was begun.",
            found=counted,
            expected=f"{tags} in a {control} of project {self.project}",
            command=f"add them in Label Studio, Settings, Labeling Interface; or take the other labels alone: "
            f"samstudio masks {self.project} --label LABEL",
            link="label-config",
        )

    def _nothing(self, found: Survey) -> NothingToLookAt:
        other = "predictions" if self.wanted.source == "annotations" else "annotations"
        if not found.without:
            return projects.without_tasks(self.project, "box to make a mask of", "images and boxes")
        which = f" of {', '.join(self.wanted.labels)}" if self.wanted.labels else ""
        return NothingToLookAt(
            f"No task of project {self.project} has a rectangle or key point{which} in its {self.wanted.source}.",
            found=f"{found.without} tasks without",
            expected="rectangles or key points",
            command=f"samstudio masks {self.project} --from {other}",
        )


def job(studio: LabelStudio, backend: Backend, project: int, wanted: Wanted, fleet: Sequence[Backend] = ()) -> Job:
    """The masks of a project by the model that the backend serves.

    Raises:
        SamstudioError: there is no such project, or the backend serves no model.
    """
    label_config = projects.by_id(studio, project).label_config or "<View/>"
    return Job(studio, backend, project, wanted, label_config, wanted.version(model_of(backend)), fleet)


def model_of(backend: Backend) -> str:
    """The model that a backend serves.

    Raises:
        SamstudioError: none yet.
    """
    health = backend.health()
    if health.get("status") != "UP":
        raise BackendError(
            "The backend serves no model yet.",
            link="backend",
            found=str(health.get("reason") or health.get("status")),
            expected="a model that is loaded",
            command="samstudio status",
        )
    return str(health["model"])


def described(job: Job, survey: Survey, *, dry_run: bool) -> dict[str, Any]:
    """What a dry run prints: what would be done."""
    return {**planned(job.project, job.version, survey), "dry_run": dry_run}


def planned(project: int | None, version: str, survey: Survey) -> dict[str, Any]:
    """The same for a project that may not be there yet."""
    return {
        "changed": bool(survey.tasks),
        "dry_run": True,
        "project": project,
        "model_version": version,
        "tasks": len(survey.tasks),
        "boxes": survey.boxes,
        "already": survey.already,
        "without_boxes": survey.without,
        "masked": 0,
        "masks": 0,
        "failed": len(survey.failures),
        "failures": survey.failures,
        "problems": [],
        "seconds": 0.0,
    }


def _size(item: dict[str, Any]) -> int:
    """Bytes of a result item as JSON, about."""
    value = item["value"]
    return 4 * len(value.get("rle", ())) + len(value.get("imageDataURL", "")) + 40 * len(value.get("points", ())) + 400
