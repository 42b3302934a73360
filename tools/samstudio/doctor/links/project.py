"""The project that is looked at, and its labeling config."""

from __future__ import annotations

from typing import Any

from samstudio.causes import Cause, recognise
from samstudio.doctor.link import Known, Link, Result, broken, ok
from samstudio.doctor.pair import Pair
from samstudio.labelstudio import LabelStudio, LabelStudioError, label_config, ml_backends, projects

NO_PROJECT = Cause(
    "no-project",
    ("There is no project",),
    "There is no project {project} to look at.",
    "samstudio register, or samstudio doctor --project ID",
)
BY_HAND = "open project {project} in Label Studio, Settings, Labeling Interface, Code; there "
CONFIG_NO_IMAGE = Cause(
    "config-no-image",
    ("the labeling config has no <Image>", "the labeling config is not XML"),
    "The labeling config of project {project} has no image: {problem}.",
    "make a project for images, and leave this one as it is: {register_new}",
)
CONFIG_NO_SMART = Cause(
    "config-no-smart",
    ("no smart control",),
    "The labeling config of project {project} has no smart control, so a click asks no model.",
    BY_HAND + 'write smart="true" into a <KeyPointLabels> or <RectangleLabels>, or {addition}',
)
CONFIG_NO_OUTPUT = Cause(
    "config-no-output",
    ("nowhere to put a mask",),
    "The labeling config of project {project} has no control that can hold a mask.",
    BY_HAND + "{addition}",
)
CONFIG_LABELS = Cause(
    "config-labels-differ",
    ("the labels do not match",),
    "In the labeling config of project {project} the smart controls and the masks have different labels: {problem}.",
    BY_HAND + "{addition}",
)


def check_project(pair: Pair, known: Known) -> Result:
    """The project asked for; else the deployment's, by title; else the oldest with a backend; else the oldest."""
    studio = known.label_studio()
    if pair.project is not None:
        try:
            return _chosen(projects.by_id(studio, pair.project))
        except LabelStudioError as error:
            return broken(NO_PROJECT, error.found, project=pair.project)
    named = projects.by_title(studio, pair.title) if pair.title else None
    if named is not None:
        return _chosen(named)
    found = sorted(projects.all_projects(studio), key=lambda each: each.id or 0)
    if not found:
        return broken(NO_PROJECT, "Label Studio has none", project=pair.title or "at all")
    return _chosen(next((each for each in found if _has_a_backend(studio, each)), found[0]))


def _has_a_backend(studio: LabelStudio, project: Any) -> bool:
    return bool(ml_backends.records(studio, int(project.id or 0)))


def _chosen(project: Any) -> Result:
    return ok(f"{project.id}, {project.title!r}", project=project)


def check_label_config(pair: Pair, known: Known) -> Result:
    """A smart control to click with, a control that can hold a mask, and the same labels in both."""
    xml = known.project.label_config or "<View/>"
    problems = label_config.missing(xml)
    if problems:
        problem, _, addition = problems[0].partition("; ")
        cause = recognise(problem, (CONFIG_NO_SMART, CONFIG_NO_OUTPUT, CONFIG_LABELS)) or CONFIG_NO_IMAGE
        return broken(cause, "; ".join(problems), problem=problem, addition=addition)
    config = label_config.parse(xml)
    return ok(", ".join(sorted({control.tag for control in config.controls})), config=config)


PROJECT = Link("project", check_project, needs=("token",), causes=(NO_PROJECT,))
LABEL_CONFIG = Link(
    "label-config",
    check_label_config,
    needs=("project",),
    causes=(CONFIG_NO_IMAGE, CONFIG_NO_SMART, CONFIG_NO_OUTPUT, CONFIG_LABELS),
)
