"""What Label Studio said about its projects in /setup and webhooks."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from .config import Settings
from .sources import Source, locate, origin_of
from .tokens import Tokens

MOST_PROJECTS = 10_000


@dataclass(slots=True)
class Project:
    """id: as in Label Studio. hostname: what it calls itself, which need not be reachable from here."""

    id: str
    label_config: str = ""
    hostname: str = ""


@dataclass(slots=True)
class Projects:
    """Used from the event loop only."""

    settings: Settings
    tokens: Tokens
    known: OrderedDict[str, Project] = field(default_factory=OrderedDict)
    _hostnames: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def get(self, project_id: str) -> Project:
        project = self.known.setdefault(project_id, Project(project_id))
        self.known.move_to_end(project_id)
        while len(self.known) > MOST_PROJECTS:
            self.known.popitem(last=False)
        return project

    def set_up(self, project_id: str, label_config: str, hostname: str, token: str) -> None:
        project = self.get(project_id)
        project.label_config = label_config
        if hostname.startswith(("http://", "https://")):
            project.hostname = hostname.rstrip("/")
            self._hostnames[project.hostname] = None
            self._hostnames.move_to_end(project.hostname)
            while len(self._hostnames) > 100:
                self._hostnames.popitem(last=False)
        base = self.settings.label_studio_url or project.hostname
        if base and token:
            self.tokens.remember(origin_of(base), token)

    def locate(self, address: str, task: object, project_id: str) -> Source:
        """Raises Problem if the address can never be fetched."""
        project = self.known.get(project_id)
        own = project.hostname if project else ""
        reachable = self.settings.label_studio_url
        newest = next(reversed(self._hostnames), "")
        return locate(
            address,
            task=task,
            label_studio=reachable or own or newest,
            # Without LABEL_STUDIO_URL another project's Label Studio may be another server altogether.
            aliases=list(self._hostnames) if reachable else [own] if own else [],
            only_one=bool(reachable),
            local_files=self.settings.local_files_root,
        )


def project_number(uid: object) -> str:
    """Label Studio sends "<id>.<creation time>" in /setup and /predict, and a plain number elsewhere."""
    return str(uid).split(".")[0] if isinstance(uid, str | int | float) and not isinstance(uid, bool) else ""
