"""The files of jobs: what they say while a job runs, when it ends, and when its process is killed."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from samstudio import jobs, lock, moments
from samstudio.errors import NothingToLookAt, SamstudioError
from samstudio.jobs import Job, Order, Progress, Record

from tools.tests.commands import TOOLS, fails, invoke, run, typed


def job(identifier: str = "masks-3-0123abcd", **more: Any) -> Job:
    return Job(identifier, Order(project=3), "http://127.0.0.1:8080", 3, "masks of annotations (demo)", **more)


@pytest.fixture
def folder(own_state: Path) -> Path:
    return own_state / "jobs"


@pytest.fixture(autouse=True)
def own_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of these names may run in the tests of somebody else on this machine."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def test_a_job_is_seen_while_it_runs_and_afterwards(tmp_path: Path, folder: Path) -> None:
    assert run(tmp_path, "jobs", "list")["jobs"] == []
    with lock.alone("masks-3-0123abcd"), jobs.kept(job()) as record:
        record.doing("making masks")
        record.tell(Progress(10, 3, 1, 2.0, 24), [{"task": 5, "reason": "No."}], [{"task": 6, "problem": "Flat."}])
        record.write()
        seen = run(tmp_path, "jobs", "show", "masks-3-0123abcd")
    assert (seen["job"]["state"], seen["job"]["left_seconds"], seen["job"]["masks"]) == ("running", 3.0, 24)
    assert [seen["job"][word] for word in ("total", "done", "failed", "rate")] == [10, 3, 1, 2.0]
    assert (seen["failures"], seen["problems"]) == ([{"task": 5, "reason": "No."}], [{"task": 6, "problem": "Flat."}])
    (listed,) = run(tmp_path, "jobs", "list")["jobs"]
    assert listed["state"] == "done"
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_job_that_failed_says_why(tmp_path: Path) -> None:
    with pytest.raises(SamstudioError), jobs.kept(job()):
        raise SamstudioError("The backend is away.", found="no answer")
    seen = run(tmp_path, "jobs", "show", "masks-3-0123abcd")["job"]
    assert (seen["state"], seen["error"]) == ("failed", {"message": "The backend is away.", "found": "no answer"})
    assert "has ended already" in fails(tmp_path, "jobs", "cancel", "masks-3-0123abcd")["message"]


def test_a_job_that_is_interrupted_keeps_what_went_wrong_before() -> None:
    record = Record(job())
    record.doing("importing images")
    record.tell(Progress(2, 1), [{"file": "a.png", "reason": "Gone."}])
    record.doing("making masks")
    record.tell(Progress(1, 0, 1), [{"task": 1, "reason": "No."}])
    record.write()
    seen = jobs.named("masks-3-0123abcd")
    assert (seen.state, seen.doing) == ("interrupted", "making masks")
    assert seen.failures == [{"file": "a.png", "reason": "Gone."}, {"task": 1, "reason": "No."}]


def test_progress_alone_is_not_written_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "WRITE_SECONDS", 3600.0)
    record = Record(job())
    for done in range(3):
        record.tell(Progress(3, done))
    assert jobs.named(job().id).progress.done == 0
    record.ended(jobs.DONE)
    assert jobs.named(job().id).progress.done == 2


@pytest.mark.parametrize(
    ("progress", "left"),
    [(Progress(10, 5, 0, 2.5), 2.0), (Progress(10, 5, 5, 0.0), 0.0), (Progress(10), None), (Progress(), 0.0)],
)
def test_the_time_left_is_told_once_there_is_a_rate(progress: Progress, left: float | None) -> None:
    assert progress.left_seconds == left


def test_what_was_being_sent_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SETTLE_PAUSE", 0.01)
    with pytest.raises(KeyboardInterrupt), jobs.kept(job()) as record, record.sending("tasks", ["a", "b"]):
        raise KeyboardInterrupt
    with jobs.kept(job()) as record:
        answers = iter([False, False, True])
        record.settle("other", lambda _: pytest.fail("another kind is asked for"))
        record.settle("tasks", lambda keys: keys == ["a", "b"] and next(answers))
        assert next(answers, "all asked") == "all asked"
        record.settle("tasks", lambda _: pytest.fail("asked again"))


def test_what_never_arrives_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SETTLE_PAUSE", 0.01)
    monkeypatch.setattr(jobs, "SETTLE_SECONDS", 0.05)
    Record(job(sending={"what": "tasks", "keys": [1]})).write()
    with jobs.kept(job()) as record:
        record.settle("tasks", lambda _: False)
        assert record.job.sending == {}


STEPS = """
import sys, time
from samstudio import ending, jobs, lock
from samstudio.jobs import Progress
from tools.tests.test_jobs import job
try:
    with lock.alone(job().id), jobs.kept(job()) as record:
        record.doing("making masks")
        for done in range(3000):
            record.tell(Progress(3000, done, 0, 20.0))
            print(done, flush=True)
            ending.step()
            time.sleep(float(sys.argv[1]))
except ending.Ended as ended:
    print(ended, file=sys.stderr)
    ending.leave()
"""


@contextmanager
def stepping(seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A job that runs in a process of its own, with steps of so many seconds, and has begun."""
    environment = {**os.environ, "PYTHONPATH": f"{TOOLS}:{TOOLS.parent}"}
    command = [sys.executable, "-c", STEPS, str(seconds)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ran:
        assert ran.stdout is not None
        try:
            ran.stdout.readline()
            yield ran
        finally:
            ran.kill()


def test_cancel_ends_a_job_between_two_steps_and_both_say_so(tmp_path: Path) -> None:
    with stepping(0.02) as ran:
        assert jobs.named(job().id).state == "running"
        cancelled = run(tmp_path, "jobs", "cancel", job().id)["job"]
        steps, said = ran.communicate(timeout=10)
        assert ran.returncode == -signal.SIGTERM
    assert (cancelled["state"], cancelled["done"]) == ("cancelled", int(steps.split()[-1]))
    assert said.strip() == (
        f"Ended as asked, while making masks: {cancelled['done']} of 3000 tasks are over, "
        f"and what is done is in Label Studio. Go on: samstudio jobs resume {job().id}"
    )
    (listed,) = run(tmp_path, "jobs", "list")["jobs"]
    assert listed == run(tmp_path, "jobs", "show", job().id)["job"] == cancelled
    shown = typed("jobs", "show", job().id).stdout
    assert f"{job().id} cancelled: making masks, {cancelled['done']} of 3000 tasks" in shown
    assert f"go on: samstudio jobs resume {job().id}" in shown
    assert fails(tmp_path, "jobs", "cancel", job().id)["found"] == "cancelled"


def test_a_job_whose_step_takes_long_ends_at_the_second_interruption(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "END_SECONDS", 0.5)
    with stepping(600) as ran:
        with pytest.raises(SamstudioError, match="does not end"):
            jobs.cancel(job().id)
        ran.send_signal(signal.SIGINT)
        assert ran.wait(10) == -signal.SIGINT
    assert jobs.named(job().id).state == "interrupted"


def test_resume_says_what_becomes_of_a_job_that_was_cancelled(tmp_path: Path) -> None:
    record = Record(job(failures=[{"task": 5, "reason": "No."}]))
    record.job.progress = Progress(10, 3, 1)
    record.ended(jobs.CANCELLED)
    began = f"{job().id} was cancelled: 4 of 10 tasks are over. It goes on with "
    for options, rest in (
        ((), "all that is missing; what is stored stays."),
        (("--failed",), "its 1 failed tasks alone; what is stored stays."),
    ):
        said = typed("--config-dir", str(tmp_path), "jobs", "resume", job().id, *options).stderr
        assert said.startswith(began + rest)
    assert Progress().so_far == "no task is over yet"


def test_cancel_ends_no_process_that_has_taken_the_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "END_SECONDS", 0.3)
    Record(job(process=os.getpid(), process_started=1)).write()
    with lock.alone(job().id), pytest.raises(SamstudioError, match="does not end"):
        jobs.cancel(job().id)
    assert jobs.cancel(job().id).end == "cancelled"


def test_what_is_no_job_is_not_taken_for_one(tmp_path: Path, folder: Path) -> None:
    Record(job()).write()
    (folder / "broken.json").write_text("{")
    (folder / "other.json").write_text(json.dumps({"id": 1}))
    assert [each.id for each in jobs.every()] == [job().id]
    for name in ("broken", "../jobs/masks-3-0123abcd", "none"):
        with pytest.raises(NothingToLookAt):
            jobs.named(name)
    assert invoke(tmp_path, "jobs", "resume", job().id, "--failed")[0] == 3


def test_a_file_that_cannot_be_written_ends_the_job_with_a_reason(own_state: Path) -> None:
    own_state.parent.mkdir(parents=True)
    own_state.write_text("no folder")
    with pytest.raises(SamstudioError, match="written down"), jobs.kept(job()):
        pytest.fail("begun without a file")


def test_files_of_jobs_that_ended_long_ago_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as then:
        then.setattr(moments, "now", lambda: moments.ago(31))
        for name in ("done", "failed", "cancelled"):
            Record(job(f"masks-1-{name}")).ended(name)
        Record(job("masks-1-interrupted")).write()
        Record(job("masks-1-again")).ended(jobs.DONE)
    Record(job("masks-1-new")).ended(jobs.DONE)
    (folder / "other.json").write_text("{}")
    with lock.alone("masks-1-again"), jobs.kept(job()):
        pass
    assert {each.id for each in jobs.every()} == {"masks-1-again", "masks-1-interrupted", "masks-1-new", job().id}
    assert (folder / "other.json").exists()


def test_only_so_many_jobs_that_ended_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT", 2)
    for number in range(4):
        with monkeypatch.context() as then:
            then.setattr(moments, "now", partial(moments.ago, 4 - number))
            Record(job(f"masks-{number}-0")).ended(jobs.DONE)
    with jobs.kept(job()):
        assert {each.id for each in jobs.every()} == {"masks-2-0", "masks-3-0", job().id}
