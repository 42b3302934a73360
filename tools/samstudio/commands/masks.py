"""`samstudio masks`"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from samstudio.commands.common import (
    AsJson,
    BackendUser,
    LabelStudioUrl,
    PasswordFile,
    ProjectNumber,
    ReachedBackendUrl,
    TokenFile,
    connected,
    deployment_of,
)
from samstudio.output import bar, emit, err, out

if TYPE_CHECKING:
    from samstudio.masks import Job, Survey

#: Failures and problems that people see; --json has all of them.
SHOWN = 20


class Control(str, Enum):
    """A control that holds a mask."""

    BRUSH = "brush"
    POLYGON = "polygon"
    BITMASK = "bitmask"


def masks(
    project: ProjectNumber,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="Where the boxes are: annotations, predictions, or the model version of predictions.",
        ),
    ] = "annotations",
    to: Annotated[
        Control | None,
        typer.Option(help="The kind of control that gets the masks. Default: the first of these that knows the label."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Take the boxes of this label; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Take no more than so many tasks; 0 for all.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is to do, and change nothing.")] = False,
    label_studio_url: LabelStudioUrl = "",
    backend_url: ReachedBackendUrl = "",
    token_file: TokenFile = None,
    backend_user: BackendUser = "",
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """Makes masks of the rectangles and key points that a project's tasks have already, with the same labels.

    Each task gets one prediction with a model version of its own, which annotators see beside what is there.
    Annotations are never changed. Run it again, after an interruption or with new tasks: it does what is missing.
    Clicks go first meanwhile. The exit code is 1 when a task could not be done, and 3 when there is no box.

    \b
    Example:
      samstudio masks 3 --dry-run
      samstudio masks 3
      samstudio masks 3 --from predictions --to polygon --label car --limit 100
    """
    from samstudio import masks as making

    found = deployment_of(label_studio_url=label_studio_url, backend_user=backend_user)
    wanted = making.Wanted(source, to.value if to else "", tuple(label or ()))
    with connected(found, backend_url, token_file, password_file) as servers:
        job = making.job(servers.studio, servers.backend, project, wanted, servers.fleet)
        with job.alone():
            survey = job.survey(limit)
            result = making.described(job, survey, dry_run=True) if dry_run else _run(job, survey)
    emit(result, as_json=as_json, human=lambda: _show(result))
    if result["failed"]:
        raise typer.Exit(1)


def _run(job: Job, survey: Survey) -> dict[str, Any]:
    with bar() as shown:
        row = shown.add_task(f"project {job.project}", total=len(survey.tasks), rate="")

        def show(done: int, total: int, failed: int, rate: float) -> None:
            shown.update(row, completed=done, total=total, rate=f"{rate:.1f} masks/s")

        try:
            return job.run(survey, show)
        except KeyboardInterrupt:
            shown.stop()
            err.print("What is done is in Label Studio; run the same again for the rest.")
            raise typer.Exit(130) from None


def _show(result: dict[str, Any]) -> None:
    also = f", {result['already']} have them already, {result['without_boxes']} have no box"
    if result["dry_run"]:
        out.print(f"{result['tasks']} tasks with {result['boxes']} boxes would get masks{also}")
    else:
        out.print(f"{result['masked']} of {result['tasks']} tasks got {result['masks']} masks{also}")
    for problem in result["problems"][:SHOWN]:
        out.print(f"  task {problem['task']}: {escape(problem['problem'])}")
    for failure in result["failures"][:SHOWN]:
        out.print(f"  [red]task {failure['task']}: {escape(failure['reason'])}[/]")
    hidden = max(len(result["problems"]) - SHOWN, 0) + max(len(result["failures"]) - SHOWN, 0)
    if hidden:
        out.print(f"  and {hidden} lines more; --json prints all of them")
    if result["failed"]:
        out.print(f"[red]{result['failed']} tasks failed; run the same again to try them again[/]")
    if result["masked"] + result["already"]:
        out.print(f"the predictions' model version: {escape(result['model_version'])}")
