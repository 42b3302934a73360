"""A dataset into a project that is made or found: a task for each image, and a prediction with its boxes.

The boxes are predictions and not annotations, for nobody submitted them here: the tasks stay to be labeled. Label
Studio's own tasks and predictions say what is done: whoever is interrupted begins again and makes nothing twice.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from samstudio import ending, labeling_configs, lock
from samstudio.datasets import Dataset, places, regions
from samstudio.datasets.pictures import Picture, look
from samstudio.datasets.places import Place
from samstudio.errors import NothingToLookAt, SamstudioError
from samstudio.jobs import Progress, Record
from samstudio.labelstudio import LabelStudio, label_config, predictions, projects
from samstudio.labelstudio.label_config import LabelConfig
from samstudio.patience import patiently


def version_of(name: str) -> str:
    """The model version of the predictions with the boxes of a file of this name.

    Label Studio looks for a part of a version: this one ends in a bracket, and is no part of the masks' version.
    """
    return f"boxes ({name})"


@dataclass
class Read:
    """A dataset whose images were looked at.

    Attributes:
        failures: `{"file", "reason"}`, one for each image of which nothing is imported.
        problems: `{"file", "problem"}`, one for each line of the file that gave no box; "file" may be "".
    """

    name: str
    place: Place
    pictures: list[Picture] = field(default_factory=list)
    failures: list[dict[str, str]] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)

    @property
    def version(self) -> str:
        return version_of(self.name)

    @property
    def labels(self) -> list[str]:
        """In the order of their first box."""
        return list(dict.fromkeys(box.label for picture in self.pictures for box in picture.boxes))


@dataclass
class Imported:
    """What became of a dataset.

    Attributes:
        made: whether the project is new. images: of the dataset that are tasks of the project, or would be.
        tasks: made now. boxed: images that got their boxes now. already: images whose boxes were in the project before.
    """

    project: int | None
    title: str
    made: bool
    how: str
    images: int = 0
    tasks: int = 0
    boxed: int = 0
    already: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)
    problems: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def inspect(dataset: Dataset, folder: Path, place: Place) -> Read:
    """Look at every image that a file names.

    Args:
        folder: an absolute path.

    Raises:
        NothingToLookAt: none of them can be used, or none has a box.
    """
    found = Read(dataset.name, place, problems=[{"file": "", "problem": text} for text in dataset.problems])
    by_key: dict[str, Picture] = {}
    for listed in dataset.images:
        try:
            picture = look(listed, folder)
        except ValueError as error:
            found.failures.append({"file": listed.file, "reason": str(error)})
            continue
        found.problems += [{"file": picture.file, "problem": text} for text in picture.problems]
        by_key.setdefault(place.key(picture), picture)
        if by_key[place.key(picture)] is not picture:
            by_key[place.key(picture)].boxes.extend(picture.boxes)
    found.pictures = list(by_key.values())
    if not found.labels:
        reasons = [f"{each['file']}: {each['reason']}" for each in found.failures]
        reasons += [f"{each['file']}: {each['problem']}" for each in found.problems]
        raise NothingToLookAt(
            f"{dataset.name} gives no box of an image in {folder}.",
            found=reasons[0] if reasons else f"{len(found.pictures)} images without boxes",
            expected="images below that folder, named as the file names them, with boxes",
            command=f"ls {folder}",
        )
    return found


@contextmanager
def alone(studio: LabelStudio, where: str) -> Iterator[None]:
    """Keep a second process from making the same project or tasks.

    Args:
        where: the project's number or title.

    Raises:
        SamstudioError: another one does already.
    """
    name = hashlib.sha256(f"{studio.url} {where}".encode()).hexdigest()[:16]
    message = f"Another samstudio masks imports into {where} already."
    with lock.only_one(f"import-{name}", message=message, command="samstudio jobs list"):
        yield


def find(studio: LabelStudio, read: Read, project: int | None, title: str, to: str) -> tuple[Imported, str]:
    """The project that is to get the dataset, and its labeling config; both as they would be where there is none yet.

    Raises:
        SamstudioError: the project's labeling config has no control for a label; nothing was done.
    """
    known = projects.by_id(studio, project) if project is not None else projects.by_title(studio, title)
    config = labeling_configs.with_labels(read.labels) if known is None else known.label_config or "<View/>"
    _check(config, read, known, to)
    result = Imported(
        None if known is None else int(known.id or 0),
        title if known is None else str(known.title),
        known is None,
        read.place.said,
        len(read.pictures),
        failures=read.failures,
        problems=read.problems,
    )
    return result, config


def compare(studio: LabelStudio, read: Read, found: Imported, config: str) -> list[Picture]:
    """The images that are no tasks of the project yet; counts those whose boxes are there, and names other boxes."""
    tasks = tasks_by_key(studio, read, found.project, config)
    by_task = {task: key for key, task in tasks.items()}
    pictures = {read.place.key(picture): picture for picture in read.pictures}
    parsed = label_config.parse(config)
    pages = predictions.tasks_with(studio, found.project, read.version) if found.project is not None else iter(())
    for task in (task for page in pages for task in page):
        picture = pictures.get(by_task.get(task["id"], ""))
        stored = next((each["result"] for each in task["predictions"] if each["model_version"] == read.version), None)
        if picture is None or stored is None:
            continue
        found.already += 1
        if not regions.same(stored, regions.prediction(picture, parsed, read.version)["result"]):
            problem = f"task {task['id']} got other boxes from a file of this name before; they stay. Rename the file."
            found.problems.append({"file": picture.file, "problem": problem})
    return [picture for key, picture in pictures.items() if key not in tasks]


def ensure_project(studio: LabelStudio, found: Imported, config: str) -> int:
    """Make the project unless it is there; its number."""
    if found.project is None:
        found.project = int(projects.create(studio, found.title, config).id or 0)
    return found.project


def run(
    studio: LabelStudio,
    read: Read,
    found: Imported,
    config: str,
    record: Record,
    tell: Callable[[Progress], None],
) -> None:
    """Make the tasks that are missing, then the predictions.

    Args:
        found: of a project that is there.

    Raises:
        SamstudioError: Label Studio refused, or was away for too long; what is made stays.
        Ended: this process was asked to end; what is made stays.
    """
    assert found.project is not None
    number, parsed = found.project, label_config.parse(config)
    record.settle("tasks", lambda keys: not tasks_by_key(studio, read, found.project, config).keys().isdisjoint(keys))
    record.settle(read.version, lambda ids: len(predictions.ids_without(studio, number, read.version, ids)) < len(ids))
    missing = compare(studio, read, found, config)
    read.place.prepare(studio, number)
    begun, progress = time.monotonic(), Progress(len(read.pictures), len(read.pictures) - len(missing))
    for batch in places.batches(missing):
        ending.step()
        with record.sending("tasks", [read.place.key(picture) for picture in batch]):
            _send(studio, read, found, config, batch)
        found.tasks += len(batch)
        progress.done += len(batch)
        progress.rate = found.tasks / max(time.monotonic() - begun, 1e-9)
        tell(progress)
        record.tell(progress, found.failures, found.problems)
    tasks = patiently(lambda: tasks_by_key(studio, read, found.project, config))
    boxed = [picture for picture in read.pictures if picture.boxes and read.place.key(picture) in tasks]
    for start in range(0, len(boxed), places.BATCH):
        ending.step()
        some = [
            {"task": tasks[read.place.key(picture)], **regions.prediction(picture, parsed, read.version)}
            for picture in boxed[start : start + places.BATCH]
        ]
        with record.sending(read.version, [each["task"] for each in some]):
            found.boxed += patiently(partial(predictions.import_missing, studio, number, some))
    record.tell(progress, found.failures, found.problems)


def _send(studio: LabelStudio, read: Read, found: Imported, config: str, batch: Sequence[Picture]) -> None:
    """A batch that Label Studio did not answer may have arrived: what is sent again is what is missing."""
    assert found.project is not None
    number, data_key = found.project, label_config.parse(config).data_key
    tried = False

    def send() -> None:
        nonlocal tried
        there = tasks_by_key(studio, read, found.project, config) if tried else {}
        tried = True
        if left := [picture for picture in batch if read.place.key(picture) not in there]:
            read.place.send(studio, number, data_key, left)

    patiently(send)


def tasks_by_key(studio: LabelStudio, read: Read, project: int | None, config: str) -> dict[str, int]:
    """A project's oldest task of each image, by key; none of a project that is not there yet."""
    if project is None:
        return {}
    key = label_config.parse(config).data_key
    keyed: dict[str, int] = {}
    for task in projects.tasks(studio, project):
        if name := read.place.key_of(str(task["data"].get(key) or task["data"].get(projects.UNNAMED) or "")):
            keyed[name] = min(keyed.get(name, task["id"]), task["id"])
    return keyed


def _check(config: str, read: Read, known: Any, to: str) -> None:
    try:
        parsed: LabelConfig = label_config.parse(config)
    except ValueError as error:
        raise SamstudioError(
            f"Project {known.id} shows no image.",
            found=str(error),
            expected='<Image name="image" value="$image"/> in its labeling config',
            command="samstudio masks --coco FILE --images DIR   # without a project's number makes one",
        ) from error
    masks = [tag for kind, tags in regions.MASK_TAGS.items() if to in ("", kind) for tag in tags]
    lacking = {
        "<RectangleLabels>": regions.without_control(parsed, read.labels, regions.BOX_TAGS),
        f"<{masks[0]}>": regions.without_control(parsed, read.labels, masks),
    }
    if any(lacking.values()):
        wanted = [
            "".join(f"<Label value={quoteattr(label)}/>" for label in labels) + f" in a {tag}"
            for tag, labels in lacking.items()
            if labels
        ]
        raise SamstudioError(
            f"Project {known.id} has no control for some labels of {read.name}; nothing was done.",
            found=", ".join(repr(label) for label in sorted({each for labels in lacking.values() for each in labels})),
            expected=" and ".join(wanted),
            command="add them in Label Studio, Settings, Labeling Interface; without a project's number, one is made",
            link="label-config",
        )
