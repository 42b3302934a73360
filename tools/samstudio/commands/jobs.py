"""`samstudio jobs …`: what this user's jobs are at, and what became of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from samstudio import jobs
from samstudio.commands.common import AsJson
from samstudio.commands.masks import SHOWN, carry_out
from samstudio.errors import NothingToLookAt
from samstudio.jobs import Job
from samstudio.output import emit, out, say, typed
from samstudio.verbs import group, verb

app = group("jobs", "Shows the jobs that samstudio masks began on this machine, ends them, and has them go on.")

Id = Annotated[str, typer.Argument(metavar="JOB", help="As jobs list shows it.")]
COLOURS = {jobs.RUNNING: "green", jobs.DONE: "green", jobs.FAILED: "red"}


def list_jobs(as_json: AsJson = False) -> None:
    """Lists the jobs of this user on this machine, the last one first.

    \b
    Example:
      samstudio jobs list
    """
    described = [job.described() for job in jobs.every()]
    emit({"changed": False, "jobs": described}, as_json=as_json, human=lambda: _show_all(described))


def show(job: Id, as_json: AsJson = False) -> None:
    """Shows how far a job is, and each failure with its reason.

    \b
    Example:
      samstudio jobs show masks-3-1a2b3c4d
    """
    found = jobs.named(job)
    result = {
        "changed": False,
        "job": found.described(),
        "failures": found.failures,
        "problems": found.problems,
    }
    emit(result, as_json=as_json, human=lambda: _show_one(result))


def cancel(job: Id, as_json: AsJson = False) -> None:
    """Ends a job that runs, between two tasks, or one that was interrupted. What is stored stays, and resume goes on.

    \b
    Example:
      samstudio jobs cancel masks-3-1a2b3c4d
    """
    ended = jobs.cancel(job)
    result = {"changed": True, "job": ended.described()}
    emit(result, as_json=as_json, human=lambda: out.print(_cancelled(ended)))


def resume(
    job: Id,
    failed: Annotated[
        bool, typer.Option("--failed", help="Take nothing but the tasks that failed, in place of all that is missing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Goes on with a job, as it was asked for: what is stored is not made again. It prints what samstudio masks prints.

    \b
    Example:
      samstudio jobs resume masks-3-1a2b3c4d
      samstudio jobs resume masks-3-1a2b3c4d --failed
    """
    found = jobs.named(job)
    only = [each["task"] for each in found.failures if "task" in each] if failed else []
    if failed and not only:
        raise NothingToLookAt(
            f"No task of job {found.id} failed.",
            found=f"{len(found.failures)} failures, none of a task",
            expected="failed tasks",
            command=f"samstudio jobs resume {found.id}   # does all that is missing",
        )
    if found.state != jobs.RUNNING:
        say(_goes_on(found, len(only)))
    carry_out(found.order, as_json=as_json, project=found.project, only=only)


def _cancelled(job: Job) -> str:
    return typed(f"{job.id} is {job.state}: {job.progress.so_far}. Go on: samstudio jobs resume {job.id}")


def _goes_on(job: Job, only: int) -> str:
    what = f"its {only} failed tasks alone" if only else "all that is missing"
    return f"{job.id} was {job.state}: {job.progress.so_far}. It goes on with {what}; what is stored stays."


def _show_all(described: list[dict[str, Any]]) -> None:
    if not described:
        out.print("no jobs")
        return
    table = Table("job", "state", "doing", "tasks", "failed", "rate", "left")
    for each in described:
        table.add_row(each["id"], _state(each), each["doing"], _over(each), str(each["failed"]), *_pace(each))
    out.print(table)


def _show_one(result: dict[str, Any]) -> None:
    job = result["job"]
    rate, left = _pace(job)
    out.print(f"[bold]{job['id']}[/] {_state(job)}: {job['doing']}, {_over(job)} tasks, {job['failed']} failed")
    out.print(f"  rate: {rate}, left: {left}, masks: {job['masks']}, since {job['begun']}, last seen {job['updated']}")
    out.print(f"  project {job['project']} of {job['label_studio']}, model version: {escape(job['model_version'])}")
    if job["error"]:
        out.print(f"  [red]{escape(job['error']['message'])} {escape(job['error'].get('found', ''))}[/]")
    for kind, key, style in (("problems", "problem", "default"), ("failures", "reason", "red")):
        for each in result[kind][:SHOWN]:
            what = f"task {each['task']}" if "task" in each else each["file"]
            out.print(f"  [{style}]{escape(f'{what}: {each[key]}')}[/]")
        if len(result[kind]) > SHOWN:
            out.print(f"  and {len(result[kind]) - SHOWN} {kind} more; --json prints all of them")
    if job["state"] in (jobs.INTERRUPTED, jobs.CANCELLED):
        out.print(f"  go on: samstudio jobs resume {job['id']}")
    elif job["failed"]:
        out.print(f"  try the failed ones again: samstudio jobs resume {job['id']} --failed")


def _state(job: dict[str, Any]) -> str:
    return f"[{COLOURS.get(job['state'], 'yellow')}]{job['state']}[/]"


def _over(job: dict[str, Any]) -> str:
    return f"{job['done'] + job['failed']} of {job['total']}"


def _pace(job: dict[str, Any]) -> tuple[str, str]:
    """Rate and time left, in words."""
    left = job["left_seconds"]
    if job["state"] != jobs.RUNNING or left is None:
        return f"{job['rate']:.1f} tasks/s", "-"
    return f"{job['rate']:.1f} tasks/s", str(timedelta(seconds=round(left)))


verb(app, list_jobs, name="list")
verb(app, show)
verb(app, cancel)
verb(app, resume)
