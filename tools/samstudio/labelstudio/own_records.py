"""Which ML backend records are ours: their ids, written down when they were made or mended.

A record belongs to us when it has our address, or an id that stands here. Titles say nothing: "SAM2" is what anybody
would call such a record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from samstudio import files
from samstudio.deployment import Deployment
from samstudio.errors import SamstudioError

NAME = "ml-backend-records.json"


@dataclass(frozen=True)
class OwnRecords:
    """`{"https://label-studio.example.com": [3, 7]}`: ids of records, by the address of Label Studio."""

    path: Path

    def ids(self, label_studio: str) -> frozenset[int]:
        return frozenset(self._all().get(_key(label_studio), ()))

    def elsewhere(self, label_studio: str) -> list[str]:
        """The other Label Studios that have records of ours."""
        return sorted(self._all().keys() - {_key(label_studio)})

    def remember(self, label_studio: str, number: int) -> None:
        """Write an id down, unless it stands there already.

        Raises:
            SamstudioError: the file cannot be written.
        """
        every = self._all()
        known = every.setdefault(_key(label_studio), [])
        if number in known:
            return
        known.append(number)
        files.keep(self.path, json.dumps(every, indent=1) + "\n", what="Which ML backend record is ours", mode=0o644)

    def _all(self) -> dict[str, list[int]]:
        try:
            return {str(url): [int(each) for each in ids] for url, ids in json.loads(self.path.read_text()).items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise SamstudioError(
                "The list of our ML backend records cannot be read.",
                found=f"{self.path}: {error}",
                expected="what an earlier registration wrote",
                command=f"rm {self.path}   # then a record is ours by its address alone",
            ) from error


def of(deployment: Deployment) -> OwnRecords:
    """Beside deployment.yml; without one, in the user's own state."""
    if deployment.described:
        return OwnRecords(deployment.config_dir / NAME)
    return OwnRecords(files.own_state() / NAME)


def _key(url: str) -> str:
    return url.rstrip("/").lower()
