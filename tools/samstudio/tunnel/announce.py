"""Tell a Label Studio elsewhere where the backend is now."""

from __future__ import annotations

from collections.abc import Sequence

from samstudio import labeling_configs, registration
from samstudio.labelstudio import connect, ml_backends, projects
from samstudio.labelstudio.own_records import OwnRecords
from samstudio.tunnel.keeper import Register


def registering(
    label_studio: str,
    token: str,
    user: str,
    password: str,
    *,
    only: Sequence[int],
    title: str,
    records: OwnRecords,
) -> Register:
    """Registers an address with some projects; with none named, with all that show an image.

    A Label Studio without any project gets the quick start's. The record that we made is mended rather than doubled,
    basic auth and the webhook with it; records of others and labeling configs are left alone.
    """

    def register(url: str) -> str:
        wanted = ml_backends.Wanted(url, registration.TITLE, user, password)
        with connect(label_studio, token) as studio:
            if not only and not projects.all_projects(studio):
                projects.create(studio, title, labeling_configs.read(labeling_configs.DEFAULT))
            chosen = list(only) or [int(project.id or 0) for project in registration.of_images(studio)]
            did = registration.at_address(studio, wanted, chosen, records)
        numbers = ", ".join(map(str, chosen))
        return f"Registered with {label_studio}, project {numbers}: {'; '.join(did) or 'nothing to do'}"

    return register
