"""`samstudio register`: project, labeling config, images and ML backend record, each created once and mended after."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from samstudio import labeling_configs
from samstudio.deployment import Deployment
from samstudio.errors import NothingToLookAt, SamstudioError, WrongCommandLine
from samstudio.labelstudio import LabelStudio, label_config, ml_backends, own_records, projects, storage
from samstudio.labelstudio.own_records import OwnRecords

#: title of a record that we make in Label Studio, and so its name for the model's answers
TITLE = "SAM2"


@dataclass(frozen=True)
class Request:
    """What to register.

    Attributes:
        project: a project's id; None for the deployment's own, by title.
        every: connect the backend to each project of images there is.
        config_name: labeling config for a project of our own.
        set_config: replace an existing project's config.
        images: sub-folders of the images folder to import; None for those there are.
    """

    project: int | None = None
    every: bool = False
    config_name: str = labeling_configs.DEFAULT
    set_config: bool = False
    images: Sequence[str] | None = None
    title: str = TITLE


@dataclass
class _Outcome:
    """What was done to one project, and what its owner should know."""

    did: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def register(
    studio: LabelStudio,
    deployment: Deployment,
    password: str,
    request: Request,
    *,
    check: bool = False,
    say: Callable[[str], None] = lambda _: None,
    explain: Callable[[SamstudioError], SamstudioError] = lambda error: error,
) -> dict[str, Any]:
    """Register the backend.

    With `every`, one project's failure does not end the others: it stands in that project's `error`.

    Args:
        password: the backend's basic auth password.
        say: told what is being done, for a person who waits.
        explain: finds the cause behind an error.

    Returns:
        `changed`, `did`, `notes`, `failed` (how many projects) and, for each project, `id`, `url`, `title`, `changed`,
        `ml_backend`, `tasks_created`, `error`; the first project's are repeated at the top as `project`.

    Raises:
        SamstudioError: what Label Studio or the backend refused; `changed` says whether something was done before.
        NothingToLookAt: every project was asked for, and none has an image.
    """
    begun = _Outcome()
    done = []
    outcomes = [begun]
    for project in _projects(studio, deployment, request, begun, check=check):
        if project is None:  # would be created
            done.append(_result(None, deployment.project.title, changed=True))
            continue
        say(f"project {project.id}, {project.title!r}: connecting the backend")
        outcomes.append(outcome := _Outcome())
        own = project.title == deployment.project.title
        try:
            done.append(_one(studio, deployment, password, request, project, outcome, own=own, check=check))
        except SamstudioError as error:
            if not request.every:
                error.changed = bool(begun.did or outcome.did) and not check
                raise
            told = explain(error)
            done.append(_result(int(project.id), project.title, changed=bool(outcome.did), error=told.fields()))
    did = [line for outcome in outcomes for line in outcome.did]
    return {
        "changed": bool(did),
        "did": did,
        "notes": [line for outcome in outcomes for line in outcome.notes],
        "failed": sum(bool(each["error"]) for each in done),
        "project": done[0],
        "projects": done,
    }


def at_address(
    studio: LabelStudio, wanted: ml_backends.Wanted, numbers: Iterable[int], records: OwnRecords
) -> list[str]:
    """Connect a backend that has a new address to some projects; what was done, in words."""
    did = []
    for number in numbers:
        outcome = _Outcome()
        _connect(studio, number, wanted, records, outcome, check=False)
        did += outcome.did
    return did


def of_images(studio: LabelStudio) -> list[Any]:
    """The projects whose labeling config shows an image; those of text or audio are no business of this model.

    Raises:
        NothingToLookAt: there is none.
    """
    every = projects.all_projects(studio)
    found = [project for project in every if label_config.shows_an_image(project.label_config or "<View/>")]
    if not found:
        raise NothingToLookAt(
            "No project of this Label Studio shows an image.",
            found=f"{len(every)} projects, none with <Image> in its labeling config",
            expected="a project of images",
            command="samstudio register   # without --all makes one",
        )
    return sorted(found, key=lambda project: project.id or 0)


def _projects(
    studio: LabelStudio, deployment: Deployment, request: Request, outcome: _Outcome, *, check: bool
) -> list[Any]:
    if request.every:
        return list(of_images(studio))
    if request.project is not None:
        return [projects.by_id(studio, request.project)]
    title = deployment.project.title
    found = projects.by_title(studio, title)
    if found is None:
        outcome.did.append(f"created project {title!r}")
        found = None if check else projects.create(studio, title, labeling_configs.read(request.config_name))
    return [found]


def _result(
    number: int | None,
    title: str | None,
    *,
    changed: bool,
    url: str | None = None,
    ml_backend: dict[str, Any] | None = None,
    tasks_created: int | None = None,
    error: dict[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "id": number,
        "title": title,
        "url": url,
        "changed": changed,
        "ml_backend": ml_backend,
        "tasks_created": tasks_created,
        "error": error,
    }


def _one(
    studio: LabelStudio,
    deployment: Deployment,
    password: str,
    request: Request,
    project: Any,
    outcome: _Outcome,
    *,
    own: bool,
    check: bool,
) -> dict[str, Any]:
    number = int(project.id)
    _check_config(studio, project, request, outcome, check=check)
    settings = deployment.backend
    wanted = ml_backends.Wanted(settings.internal_url, request.title, settings.basic_auth_user, password)
    backend = _connect(studio, number, wanted, own_records.of(deployment), outcome, check=check)
    created = 0
    if own or request.images is not None:
        created = _import(studio, deployment, request, number, outcome, check=check)
    return _result(
        number,
        project.title,
        changed=bool(outcome.did),
        url=f"{studio.url}/projects/{number}/data",
        ml_backend={"id": backend["id"], "state": backend["state"]},
        tasks_created=created,
    )


def _connect(
    studio: LabelStudio,
    number: int,
    wanted: ml_backends.Wanted,
    records: OwnRecords,
    outcome: _Outcome,
    *,
    check: bool,
) -> dict[str, Any]:
    backend = ml_backends.ensure(studio, number, wanted, own=records.ids(studio.url), check=check)
    outcome.did += [f"project {number}: {line}" for line in backend["did"]]
    if backend["id"] is not None and not check:
        records.remember(studio.url, int(backend["id"]))
    return backend


def _check_config(studio: LabelStudio, project: Any, request: Request, outcome: _Outcome, *, check: bool) -> None:
    """A config that works is left alone. One that does not is replaced only when that was asked for."""
    wanted = labeling_configs.read(request.config_name)
    if request.set_config:
        if (project.label_config or "").strip() != wanted.strip():
            outcome.did.append(f"project {project.id}: set the labeling config {request.config_name}")
            if not check:
                projects.set_config(studio, int(project.id), wanted)
        return
    problems = label_config.missing(project.label_config or "<View/>")
    outcome.notes += [f"project {project.id}: {problem}" for problem in problems]
    if problems:
        outcome.notes.append(
            f"project {project.id}: its labeling config was left alone; "
            f"samstudio register --project {project.id} --set-config replaces it by {request.config_name}"
        )


def _import(
    studio: LabelStudio, deployment: Deployment, request: Request, project: int, outcome: _Outcome, *, check: bool
) -> int:
    total = 0
    for name in _folders(deployment, request):
        inside = PurePosixPath(deployment.images.container_root) / name
        folder = deployment.images.host_root / name
        images, other = storage.images_in(folder)
        if other - (name == "samples") > 0:
            shown = ", ".join(storage.IMAGE_SUFFIXES)
            outcome.notes.append(f"{other} files in {name} are not imported: a browser shows {shown}")
        found = storage.existing(studio, project, inside)
        if found is None:
            outcome.did.append(f"project {project}: connected the image folder {inside}")
        if check:
            total += _uncounted(studio, project, name, folder, images)
            continue
        total += storage.sync(studio, found or storage.create(studio, project, inside))
    if total:
        outcome.did.append(f"project {project}: imported {total} images")
    return total


def _folders(deployment: Deployment, request: Request) -> list[str]:
    root = deployment.images.host_root
    if request.images is None:
        return [name for name in ("samples", "user") if _has_images(root / name)]
    for name in request.images:
        if not (root / name).is_dir():
            raise WrongCommandLine(
                f"There is no image folder {name!r}.",
                found=f"no folder {root / name}",
                expected=f"a folder below {root}, which both containers see",
                command=f"mkdir -p {root / name} && cp … {root / name}",
            )
    return list(request.images)


def _has_images(folder: Path) -> bool:
    return folder.is_dir() and bool(storage.images_in(folder)[0])


def _uncounted(studio: LabelStudio, project: int, name: str, folder: Path, images: list[Path]) -> int:
    """How many images of a folder are no tasks yet; an image whose task was deleted is imported again."""
    key = label_config.parse(projects.by_id(studio, project).label_config or "<View/>").data_key
    known = {
        unquote(str(task["data"].get(key, ""))).rpartition(f"{name}/")[2]
        for task in projects.tasks_with_image(studio, project, key, f"{name}/")
    }
    return sum(str(image.relative_to(folder)) not in known for image in images)
