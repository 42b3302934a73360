"""`samstudio register`: project, labeling config, images and ML backend record, each created once and mended after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from samstudio import labeling_configs
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError
from samstudio.labelstudio import LabelStudio, label_config, ml_backends, projects, storage

#: title of the record in Label Studio, and so its name for the model's answers
TITLE = "SAM2"


@dataclass(frozen=True)
class Request:
    """What to register.

    Attributes:
        project: a project's id; None for the deployment's own, by title.
        every: connect the backend to each project there is.
        config_name: labeling config for a project of our own.
        set_config: replace an existing project's config.
        images: sub-folders of the images folder to import; None for those there are.
    """

    project: int | None = None
    every: bool = False
    config_name: str = "quick_start"
    set_config: bool = False
    images: Sequence[str] | None = None
    title: str = TITLE


@dataclass
class _Outcome:
    did: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def register(
    studio: LabelStudio, deployment: Deployment, password: str, request: Request, *,
    check: bool = False, say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:  # fmt: skip
    """Register the backend.

    Args:
        password: the backend's basic auth password.
        say: told what is being done, for a person who waits.

    Returns:
        `changed`, `did`, `notes` and, for each project, `id`, `url`, `title`, `ml_backend`, `tasks_created`; the first
        project's are repeated at the top as `project`.

    Raises:
        SamstudioError: what Label Studio or the backend refused.
    """
    outcome = _Outcome()
    done = []
    for project in _projects(studio, deployment, request, outcome, check=check):
        if project is None:  # would be created
            done.append({"id": None, "title": deployment.project.title, "tasks_created": None, "ml_backend": None})
            continue
        say(f"project {project.id}, {project.title!r}: connecting the backend")
        own = project.title == deployment.project.title
        done.append(_one(studio, deployment, password, request, project, outcome, own=own, check=check))
    changed = bool(outcome.did)
    first = done[0] if done else None
    return {"changed": changed, "did": outcome.did, "notes": outcome.notes, "project": first, "projects": done}


def _projects(
    studio: LabelStudio, deployment: Deployment, request: Request, outcome: _Outcome, *, check: bool
) -> list[Any]:
    if request.every:
        return projects.all_projects(studio)
    if request.project is not None:
        return [projects.by_id(studio, request.project)]
    title = deployment.project.title
    found = projects.by_title(studio, title)
    if found is None:
        outcome.did.append(f"created project {title!r}")
        found = None if check else projects.create(studio, title, labeling_configs.read(request.config_name))
    return [found]


def _one(
    studio: LabelStudio, deployment: Deployment, password: str, request: Request, project: Any, outcome: _Outcome, *,
    own: bool, check: bool,
) -> dict[str, Any]:  # fmt: skip
    number = int(project.id)
    _check_config(studio, project, request, outcome, check=check)
    settings = deployment.backend
    wanted = ml_backends.Wanted(settings.internal_url, request.title, settings.basic_auth_user, password)
    backend = ml_backends.ensure(studio, number, wanted, check=check)
    outcome.did += [f"project {number}: {line}" for line in backend["did"]]
    created = 0
    if own or request.images is not None:
        created = _import(studio, deployment, request, number, outcome, check=check)
    return {
        "id": number,
        "title": project.title,
        "url": f"{studio.url}/projects/{number}/data",
        "ml_backend": {"id": backend["id"], "state": backend["state"]},
        "tasks_created": created,
    }


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
            raise SamstudioError(
                f"There is no image folder {name!r}.", found=f"no folder {root / name}",
                expected=f"a folder below {root}, which both containers see",
                command=f"mkdir -p {root / name} && cp … {root / name}",
            )  # fmt: skip
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
