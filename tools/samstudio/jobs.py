"""What is known of a job while it runs and afterwards: one file a job, in the user's own state.

The file says what was asked, how far it is and what failed; what is done stands in Label Studio. A lock that ends with
its process says whether the job runs, so that no crash leaves one that seems to. Words of progress are the backend's
for prewarming: of `total` tasks, `done` and `failed` are over.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from samstudio import ending, files, lock, moments
from samstudio.ending import Ended
from samstudio.errors import NothingToLookAt, SamstudioError
from samstudio.processes import started_at

#: Seconds between two writings while only the progress changes.
WRITE_SECONDS = 1.0
#: A request that was under way when its process was killed is waited for so long.
SETTLE_SECONDS, SETTLE_PAUSE = 20.0, 0.5
#: To store what is made, and to hear of it that a backend is away.
END_SECONDS = 60.0
#: Files of jobs that ended: the newest so many are kept, for so many days.
KEPT, KEPT_DAYS = 100, 30
RUNNING, INTERRUPTED, DONE, FAILED, CANCELLED = "running", "interrupted", "done", "failed", "cancelled"
ENDED = (DONE, FAILED, CANCELLED)
_READ = ConfigDict(extra="ignore")


@dataclass(frozen=True, config=_READ)
class Order:
    """What was asked of `samstudio masks`; paths are absolute."""

    project: int | None = None
    source: str = "annotations"
    to: str = ""
    labels: tuple[str, ...] = ()
    limit: int = 0
    coco: Path | None = None
    yolo: Path | None = None
    images: Path | None = None
    title: str = ""
    config_dir: Path | None = None
    label_studio_url: str = ""
    backend_url: str = ""
    token_file: Path | None = None
    backend_user: str = ""
    password_file: Path | None = None


@dataclass(config=_READ)
class Progress:
    """rate: tasks a second; masks: made so far."""

    total: int = 0
    done: int = 0
    failed: int = 0
    rate: float = 0.0
    masks: int = 0

    @property
    def left_seconds(self) -> float | None:
        """At this rate; None while there is none."""
        left = self.total - self.done - self.failed
        return round(left / self.rate, 1) if self.rate > 0 else (0.0 if left <= 0 else None)

    @property
    def so_far(self) -> str:
        return f"{self.done + self.failed} of {self.total} tasks are over" if self.total else "no task is over yet"

    def words(self) -> dict[str, Any]:
        """What a backend shows of it."""
        return {"total": self.total, "done": self.done, "failed": self.failed, "rate": round(self.rate, 3)}


@dataclass(config=_READ)
class Job:
    """What a file holds.

    Attributes:
        doing: what it does or did last, in words.
        end: DONE, FAILED or CANCELLED, "" before; `error`: why it failed.
        failures: `{"task" or "file", "reason"}`; problems: `{"task" or "file", "problem"}`.
        process_started: clock ticks since the machine started.
        sending: what Label Studio was about to be told: `{"what": "tasks" or a model version, "keys": [...]}`.
    """

    id: str
    order: Order
    label_studio: str
    project: int
    model_version: str
    process: int = 0
    process_started: int = 0
    begun: str = ""
    updated: str = ""
    doing: str = ""
    progress: Progress = field(default_factory=Progress)
    end: str = ""
    error: dict[str, str] | None = None
    failures: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    sending: dict[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> str:
        if lock.is_held(self.id):
            return RUNNING
        return self.end or INTERRUPTED

    def described(self) -> dict[str, Any]:
        """As `samstudio jobs list` shows it."""
        return {
            "id": self.id,
            "state": self.state,
            "doing": self.doing,
            "label_studio": self.label_studio,
            "project": self.project,
            "model_version": self.model_version,
            "begun": self.begun,
            "updated": self.updated,
            **self.progress.words(),
            "left_seconds": self.progress.left_seconds,
            "masks": self.progress.masks,
            "error": self.error,
        }


class Record:
    """The file of a job that runs in this process, which holds its lock."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._written = 0.0
        self._before: tuple[list[Any], list[Any]] = [], []

    def tell(
        self, progress: Progress, failures: Sequence[dict[str, Any]] = (), problems: Sequence[dict[str, Any]] = ()
    ) -> None:
        """How far what it is `doing` came, and what went wrong in it."""
        self.job.progress = progress
        self.job.failures = [*self._before[0], *failures]
        self.job.problems = [*self._before[1], *problems]
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self.write()

    def doing(self, text: str) -> None:
        """What went wrong until here stays."""
        self.job.doing, self.job.progress = text, Progress()
        self._before = self.job.failures, self.job.problems
        self.write()

    @contextmanager
    def sending(self, what: str, keys: Sequence[Any]) -> Iterator[None]:
        """Write down what is about to be told, until it is answered."""
        self.job.sending = {"what": what, "keys": list(keys)}
        self.write()
        yield
        self.job.sending = {}

    def settle(self, what: str, arrived: Callable[[Sequence[Any]], bool]) -> None:
        """Wait until what a killed process was telling has arrived, or never will: Label Studio may still be at it."""
        told = self.job.sending
        if told.get("what") != what:
            return
        end = time.monotonic() + SETTLE_SECONDS
        while not arrived(told["keys"]) and time.monotonic() < end:
            time.sleep(SETTLE_PAUSE)
        self.job.sending = {}

    def ended(self, end: str, error: SamstudioError | None = None) -> None:
        self.job.end, self.job.error = end, error.fields() if error else None
        self.write()

    def write(self) -> None:
        """Raises SamstudioError if the file cannot be written."""
        self._written = time.monotonic()
        self.job.updated = moments.now()
        path = folder() / f"{self.job.id}.json"
        text = json.dumps(asdict(self.job), default=str, indent=1) + "\n"
        files.keep(path, text, what="How far the job is", mode=0o600, folder_mode=0o700)


@contextmanager
def kept(job: Job) -> Iterator[Record]:
    """The record of a job that begins or goes on, until it ends; its lock is held.

    Raises:
        SamstudioError: the file cannot be written, or what ended the job.
        Ended: this process was asked to end, between two steps.
    """
    record = Record(job)
    earlier = _read(folder() / f"{job.id}.json")
    job.sending = earlier.sending if earlier else {}
    job.process, job.process_started, job.begun = os.getpid(), started_at(os.getpid()), moments.now()
    record.write()
    _remove_old()
    try:
        with ending.between_steps():
            yield record
    except SamstudioError as error:
        record.ended(FAILED, error)
        raise
    except Ended as ended:
        record.write()
        raise Ended(
            f"Ended as asked, while {job.doing}: {job.progress.so_far}, and what is done is in Label Studio. "
            f"Go on: samstudio jobs resume {job.id}"
        ) from ended
    record.ended(DONE)


def every() -> list[Job]:
    """The last one first."""
    found = (_read(path) for path in folder().glob("*.json"))
    return sorted((job for job in found if job), key=lambda job: (job.begun, job.id), reverse=True)


def named(identifier: str) -> Job:
    """Raises NothingToLookAt if there is none."""
    found = _read(folder() / f"{identifier}.json") if re.fullmatch(r"[\w-]+", identifier) else None
    if found is None:
        raise NothingToLookAt(
            f"There is no job {identifier}.",
            found=f"no {identifier}.json in {folder()}",
            expected="a job that this user began on this machine",
            command="samstudio jobs list",
        )
    return found


def cancel(identifier: str) -> Job:
    """End a job's process between two tasks if it runs, and mark the job. What is stored stays.

    Raises:
        SamstudioError: it has ended before, or its process does not end.
    """
    job = named(identifier)
    if job.state in ENDED:
        raise SamstudioError(
            f"Job {job.id} has ended already.",
            found=job.state,
            expected="one that runs or was interrupted",
            command=f"samstudio jobs show {job.id}",
        )
    end = time.monotonic() + END_SECONDS
    while job.state == RUNNING:
        if time.monotonic() > end:
            raise SamstudioError(
                f"The process of job {job.id} does not end.",
                found=f"process {job.process}",
                expected=f"its end within {END_SECONDS:g} s",
                command=f"kill -9 {job.process}   # loses nothing that is stored",
            )
        if 0 < job.process_started == started_at(job.process):
            os.kill(job.process, signal.SIGTERM)
        time.sleep(0.1)
        job = named(identifier)
    with lock.alone(job.id) as ours:
        job = named(identifier)  # what it wrote last
        if ours and not job.end:
            Record(job).ended(CANCELLED)
    return job


def _remove_old() -> None:
    ended = sorted((job for job in every() if job.state in ENDED), key=lambda job: job.updated, reverse=True)
    oldest = moments.ago(KEPT_DAYS)
    for job in [job for number, job in enumerate(ended) if number >= KEPT or job.updated < oldest]:
        with suppress(OSError):
            (folder() / f"{job.id}.json").unlink()


def folder() -> Path:
    return files.own_state() / "jobs"


def _read(path: Path) -> Job | None:
    """None where there is no such file, or one that no version of these tools wrote."""
    try:
        return _JOB.validate_python(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


_JOB = TypeAdapter(Job)
