"""`samstudio masks`"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from samstudio.commands.common import (
    AsJson,
    BackendUser,
    LabelStudioUrl,
    PasswordFile,
    ReachedBackendUrl,
    TokenFile,
    connected,
    deployment_of,
)
from samstudio.deployment import config_dir, use
from samstudio.ending import Ended, leave
from samstudio.errors import WrongCommandLine
from samstudio.output import bar, emit, err, out, typed

if TYPE_CHECKING:
    from samstudio.jobs import Order, Progress

#: Failures and problems that people see; --json has all of them.
SHOWN = 20


class Control(str, Enum):
    """A control that holds a mask."""

    BRUSH = "brush"
    POLYGON = "polygon"
    BITMASK = "bitmask"


def masks(
    project: Annotated[
        int | None, typer.Argument(metavar="PROJECT", help="The project's id. Boxes of a file need none.")
    ] = None,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="SOURCE",
            help="Where the boxes are: annotations, predictions, or the model version of predictions. "
            "Default: annotations.",
        ),
    ] = "",
    to: Annotated[
        Control | None,
        typer.Option(help="The kind of control that gets the masks. Default: the first of these that knows the label."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="Take the boxes of this label; may be repeated.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="Take no more than so many tasks; 0 for all.")] = 0,
    coco: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Take the boxes of this COCO file, such as instances.json.")
    ] = None,
    yolo: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take YOLO's boxes, of the classes in this data.yaml or classes.txt."),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder of the images that the file's boxes are of.")
    ] = None,
    title: Annotated[
        str,
        typer.Option(
            metavar="TITLE", help="Title of the project to make or find. Default: the file's name behind Boxes of."
        ),
    ] = "",
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
    With --coco or --yolo, the images and boxes of a file become tasks first, of the project that is named or of one
    that is made. Clicks go first meanwhile, and samstudio jobs shows how far it is. The exit code is 1 when a task
    or an image could not be done, and 3 when there is no box.

    \b
    Example:
      samstudio masks 3 --dry-run
      samstudio masks 3 --from predictions --to polygon --label car --limit 100
      samstudio masks --coco instances.json --images photos
      samstudio masks --yolo data.yaml --images dataset/images/train
    """
    from samstudio.jobs import Order

    order = Order(
        project=project,
        source=source or "annotations",
        to=to.value if to else "",
        labels=tuple(label or ()),
        limit=limit,
        coco=_absolute(coco),
        yolo=_absolute(yolo),
        images=_absolute(images),
        title=title,
        config_dir=config_dir().absolute(),
        label_studio_url=label_studio_url,
        backend_url=backend_url,
        token_file=_absolute(token_file),
        backend_user=backend_user,
        password_file=_absolute(password_file),
    )
    _check(order, own_source=bool(source))
    carry_out(order, as_json=as_json, dry_run=dry_run)


def carry_out(
    order: Order, *, as_json: bool, dry_run: bool = False, project: int | None = None, only: Sequence[int] = ()
) -> None:
    """Do what was asked, and show what became of it.

    Args:
        project, only: of an earlier run; these tasks of it alone, and nothing is imported.
    """
    from samstudio import mask_jobs

    use(order.config_dir)
    found = deployment_of(label_studio_url=order.label_studio_url, backend_user=order.backend_user)
    reached = connected(found, order.backend_url, order.token_file, order.password_file)
    with reached as servers, bar() as shown:
        row = shown.add_task("", total=None, rate="")

        def tell(doing: str, progress: Progress) -> None:
            over, rate = progress.done + progress.failed, f"{progress.rate:.1f} tasks/s"
            shown.update(row, description=doing, completed=over, total=progress.total, rate=rate)

        try:
            if dry_run:
                result = mask_jobs.plan(order, found, servers)
            else:
                result = mask_jobs.run(order, found, servers, tell, project=project, only=only)
        except Ended as ended:
            shown.stop()
            err.print(typed(str(ended)))
            leave()
        except KeyboardInterrupt:
            shown.stop()
            err.print("What is done is in Label Studio; run the same again for the rest.")
            raise typer.Exit(130) from None
    emit(result, as_json=as_json, human=lambda: _show(result))
    if result["failed"] or (result["imported"] or {}).get("failures"):
        raise typer.Exit(1)


def _absolute(path: Path | None) -> Path | None:
    return path.absolute() if path else None


def _check(order: Order, *, own_source: bool) -> None:
    """Raises WrongCommandLine for options that contradict each other, or lack each other."""
    example = "samstudio masks --coco instances.json --images DIR"
    if order.coco and order.yolo:
        raise WrongCommandLine("--coco and --yolo exclude each other.", expected="one of them", command=example)
    file = order.coco or order.yolo
    if file and not order.images:
        raise WrongCommandLine("Where are the images?", found="no --images", expected="their folder", command=example)
    if file and own_source:
        raise WrongCommandLine(
            "--from and a file exclude each other: the boxes are the file's.", expected="one of them", command=example
        )
    if order.images and not order.images.is_dir():
        raise WrongCommandLine("There is no such folder.", found=str(order.images), expected="a folder of images")
    if not file and (order.images or order.title):
        raise WrongCommandLine(
            "--images and --title belong to a file with boxes.", expected="--coco or --yolo as well", command=example
        )
    if order.project is not None and order.title:
        raise WrongCommandLine("A project's number and --title exclude each other.", expected="one of them")
    if not file and order.project is None:
        raise WrongCommandLine(
            "Which project?",
            found="no number, and no file with boxes",
            expected="a project's id, from its address in the browser",
            command="samstudio masks 3",
        )


def _show(result: dict[str, Any]) -> None:
    if result["imported"]:
        _show_import(result["imported"], dry_run=result["dry_run"])
    also = f", {result['already']} have them already, {result['without_boxes']} have no box"
    if result["dry_run"]:
        out.print(f"{result['tasks']} tasks with {result['boxes']} boxes would get masks{also}")
    else:
        out.print(f"{result['masked']} of {result['tasks']} tasks got {result['masks']} masks{also}")
    _show_lines(result["problems"], lambda each: f"task {each['task']}: {each['problem']}")
    _show_lines(result["failures"], lambda each: f"task {each['task']}: {each['reason']}", style="red")
    if result["failed"]:
        out.print(f"[red]{result['failed']} tasks failed; run the same again to try them again[/]")
    if result["masked"] + result["already"]:
        out.print(f"the predictions' model version: {escape(result['model_version'])}")


def _show_import(imported: dict[str, Any], *, dry_run: bool) -> None:
    where = "a new project" if imported["made"] else f"project {imported['project']}"
    verb = "would be in" if dry_run else "are in"
    out.print(
        f"{imported['images']} images {verb} {where}, {escape(repr(imported['title']))}, {imported['how']}: "
        f"{imported['tasks']} new, {imported['boxed']} got their boxes, {imported['already']} had them"
    )
    for note in imported["notes"]:
        out.print(f"  [yellow]note[/] {escape(typed(note))}")
    _show_lines(imported["problems"], lambda each: f"{each['file'] or 'the file'}: {each['problem']}")
    _show_lines(imported["failures"], lambda each: f"{each['file']}: {each['reason']}", style="red")


def _show_lines(entries: list[dict[str, Any]], text: Callable[[dict[str, Any]], str], style: str = "default") -> None:
    for each in entries[:SHOWN]:
        out.print(f"  [{style}]{escape(text(each))}[/]")
    if len(entries) > SHOWN:
        out.print(f"  and {len(entries) - SHOWN} lines more; --json prints all of them")
