"""Tell a Label Studio elsewhere where the backend is now."""

from __future__ import annotations

from samstudio import labeling_configs
from samstudio.labelstudio import LabelStudio, connect, ml_backends, projects
from samstudio.tunnel.keeper import Register

TITLE = "SAM2"


def registration(
    label_studio: str, token: str, user: str, password: str, *, only: list[int] | None, title: str
) -> Register:
    """Registers an address with some projects, or all; a Label Studio without any gets the quick start's project.

    The record is mended rather than doubled, basic auth and the webhook with it; a labeling config is left alone.
    """

    def register(url: str) -> str:
        wanted = ml_backends.Wanted(url, TITLE, user, password)
        with connect(label_studio, token) as studio:
            chosen = only or _all(studio, title)
            did = [line for number in chosen for line in ml_backends.ensure(studio, number, wanted)["did"]]
        numbers = ", ".join(map(str, chosen))
        return f"Registered with {label_studio}, project {numbers}: {'; '.join(did) or 'nothing to do'}"

    return register


def _all(studio: LabelStudio, title: str) -> list[int]:
    found = projects.all_projects(studio) or [
        projects.create(studio, title, labeling_configs.read(labeling_configs.DEFAULT))
    ]
    return sorted(int(project.id or 0) for project in found)
