"""What Label Studio said about its projects in /setup and webhooks.

Two Label Studios may use one backend, and both have a project 1. Label Studio's ML client names a project
`ID.CREATED` (its number and the second in which it was made, `ml/api_connector.py`), which tells them apart; a caller
that knows the number alone means the only project of that number.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from sam2_backend.images.credentials import Credentials
from sam2_backend.images.sources import Source, locate, origin_of
from sam2_backend.problems import Problem
from sam2_backend.settings import Settings

MOST_PROJECTS = 10_000


@dataclass(slots=True)
class Project:
    """uid: see above. hostname: what its Label Studio calls itself, which need not be reachable from here."""

    uid: str
    label_config: str = ""
    hostname: str = ""


@dataclass(slots=True)
class Projects:
    """Used from the event loop only."""

    settings: Settings
    credentials: Credentials
    known: OrderedDict[str, Project] = field(default_factory=OrderedDict)
    _hostnames: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def get(self, uid: str) -> Project:
        """The project of a uid or of a number. Raises Problem as `meant` does."""
        known = self.meant(uid)
        project = self.known.setdefault(known, Project(known))
        self.known.move_to_end(known)
        while len(self.known) > MOST_PROJECTS:
            self.known.popitem(last=False)
        return project

    def forget(self, uid: str) -> None:
        """The project of this very uid, if it is known."""
        self.known.pop(uid, None)

    def numbers(self) -> list[str]:
        """The numbers of all projects that are known, each once."""
        return list(dict.fromkeys(project_number(uid) for uid in self.known))

    def meant(self, uid: str) -> str:
        """The uid that a uid or a number means. Raises Problem (409) for a number that two Label Studios have."""
        if "." in uid:
            return uid
        same = [known for known in self.known if project_number(known) == uid]
        if len(same) > 1 and not self.settings.label_studio_url:
            raise Problem(
                409,
                "project",
                f"Two Label Studios have a project {uid} here. Give each its own backend, with LABEL_STUDIO_URL set.",
            )
        return same[-1] if same else uid

    def set_up(self, uid: str, label_config: str, hostname: str, token: str) -> None:
        project = self.get(uid)
        project.label_config = label_config
        if hostname.startswith(("http://", "https://")):
            project.hostname = hostname.rstrip("/")
            self._hostnames[project.hostname] = None
            self._hostnames.move_to_end(project.hostname)
            while len(self._hostnames) > 100:
                self._hostnames.popitem(last=False)
        base = self.settings.label_studio_url or project.hostname
        if base and token:
            self.credentials.remember(origin_of(base), token)

    def label_studio(self, uid: str) -> str:
        """The base URL of the project's Label Studio, as far as it is known."""
        project = self.known.get(uid)
        return self.settings.label_studio_url or (project.hostname if project else "")

    def source(self, address: str, task: object, uid: str) -> Source:
        """Raises Problem if the address can never be fetched."""
        project = self.known.get(self.meant(uid))
        own = project.hostname if project else ""
        reachable = self.settings.label_studio_url
        return locate(
            address,
            task=task,
            label_studio=reachable or own,
            # Without LABEL_STUDIO_URL another project's Label Studio may be another server altogether.
            aliases=list(self._hostnames) if reachable else [own] if own else [],
            only_one=bool(reachable),
            local_files=self.settings.local_files_root,
        )


def project_uid(uid: object) -> str:
    """What /setup and /predict call a project; "" for what is none."""
    return str(uid) if isinstance(uid, str | int | float) and not isinstance(uid, bool) else ""


def project_number(uid: str) -> str:
    return uid.split(".")[0]


def uid_of(project: Mapping[str, object]) -> str:
    """The uid of a project as webhooks describe it, with `id` and, if it is told, `created_at`."""
    number, created = project_uid(project.get("id")), project.get("created_at")
    try:
        return f"{number}.{int(datetime.fromisoformat(str(created)).timestamp())}" if number else ""
    except ValueError:
        return number
