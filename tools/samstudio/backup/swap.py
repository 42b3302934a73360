"""Old and new change places by renames, each of which may have happened or not when the machine stops.

Where something is tells how far it came: `kept` is there from the first rename on, `fresh` until the last one.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from samstudio import containers, files
from samstudio.backup import sqlite
from samstudio.backup.postgresql import USER, PostgreSQL


class Swap(Protocol):
    """What is live, what shall be, and where the old one is kept. Each step may be taken again."""

    @property
    def live(self) -> str: ...

    @property
    def fresh(self) -> str: ...

    @property
    def kept(self) -> str: ...

    def forward(self) -> None:
        """`live` becomes `kept`, `fresh` becomes `live`."""

    def back(self) -> None:
        """The old one is live again; the new one is `fresh` again, if it is anywhere."""

    def remove(self, name: str) -> None:
        """Remove `kept` or `fresh`, where it is."""

    def removal(self, name: str) -> str:
        """What to type to remove `kept` or `fresh`; "" where there is none."""

    def described(self) -> dict[str, Any]:
        """For the journal; `read` understands it."""


@dataclass(frozen=True)
class SwapFolders:
    """Three neighbours on one file system."""

    live: str
    fresh: str
    kept: str

    def forward(self) -> None:
        if not Path(self.kept).exists():
            _rename(self.live, self.kept)
        if Path(self.fresh).exists():
            _remove_made_by_engine(self.live)
            _rename(self.fresh, self.live)

    def back(self) -> None:
        if Path(self.kept).exists():
            if Path(self.fresh).exists():
                _remove_made_by_engine(self.live)
            elif Path(self.live).exists():
                _rename(self.live, self.fresh)
            _rename(self.kept, self.live)

    def remove(self, name: str) -> None:
        if Path(name).exists():
            shutil.rmtree(name)

    def removal(self, name: str) -> str:
        return f"rm -r {shlex.quote(name)}" if Path(name).exists() else ""

    def described(self) -> dict[str, Any]:
        return {"folders": asdict(self)}


@dataclass(frozen=True)
class SwapDatabases:
    """Three databases of one server, renamed all at once."""

    live: str
    fresh: str
    kept: str
    container: str

    def forward(self) -> None:
        if not self._server.exists(self.kept):
            self._server.rename((self.live, self.kept), (self.fresh, self.live))

    def back(self) -> None:
        if self._server.exists(self.kept):
            self._server.rename((self.live, self.fresh), (self.kept, self.live))

    def remove(self, name: str) -> None:
        self._server.drop(name)

    def removal(self, name: str) -> str:
        if not self._server.exists(name):
            return ""
        with_password = f"PGPASSWORD=$(cat /run/secrets/postgres_password) dropdb -h /tmp -U {USER} {name}"
        return f"docker exec {self.container} sh -c '{with_password}'"

    def described(self) -> dict[str, Any]:
        return {"databases": asdict(self)}

    @property
    def _server(self) -> PostgreSQL:
        return PostgreSQL(self.container)


@dataclass(frozen=True)
class SwapFiles:
    """Three files of one folder. What SQLite keeps beside a database goes before it: without, it would be damaged."""

    live: str
    #: "" where a new one is written by somebody else, and is nothing to keep
    fresh: str
    kept: str

    def forward(self) -> None:
        if not _there(self.kept):
            sqlite.rename(Path(self.live), Path(self.kept))
        if _there(self.fresh):
            sqlite.rename(Path(self.fresh), Path(self.live))

    def back(self) -> None:
        if _there(self.kept) and self.fresh and not _there(self.fresh):
            sqlite.rename(Path(self.live), Path(self.fresh))
        if _there(self.kept):
            _remove_made_by_engine(self.live)
        sqlite.rename(Path(self.kept), Path(self.live))

    def remove(self, name: str) -> None:
        if name:
            for each in sqlite.files_of(Path(name)):
                each.unlink(missing_ok=True)

    def removal(self, name: str) -> str:
        return f"rm {shlex.quote(name)}" if _there(name) else ""

    def described(self) -> dict[str, Any]:
        return {"files": asdict(self)}


@dataclass(frozen=True)
class SwapContainers:
    """A container that is kept, stopped, while somebody else makes one of its name. What that one wrote is not kept."""

    live: str
    kept: str
    fresh: str = ""

    def forward(self) -> None:
        if not containers.exists(self.kept):
            containers.rename(self.live, self.kept)

    def back(self) -> None:
        if containers.exists(self.kept):
            containers.remove(self.live)
            containers.rename(self.kept, self.live)

    def remove(self, name: str) -> None:
        if name:
            containers.remove(name, with_image=True)

    def removal(self, name: str) -> str:
        return f"docker rm {name}" if name and containers.exists(name) else ""

    def described(self) -> dict[str, Any]:
        return {"containers": asdict(self)}


_KINDS: dict[str, Callable[..., Swap]] = {
    "folders": SwapFolders,
    "databases": SwapDatabases,
    "files": SwapFiles,
    "containers": SwapContainers,
}


def read(described: dict[str, Any]) -> Swap:
    ((kind, given),) = described.items()
    return _KINDS[kind](**given)


def _remove_made_by_engine(live: str) -> None:
    """Where nothing is live, an engine that starts a container makes an empty folder; a file there is none of these."""
    if Path(live).is_dir():
        Path(live).rmdir()


def _there(name: str) -> bool:
    return bool(name) and Path(name).exists()


def _rename(source: str, target: str) -> None:
    Path(source).rename(target)
    files.settle(Path(target).parent)
