"""Old and new change places by renames, each of which may have happened or not when the machine stops.

Where something is tells how far it came: `kept` is there from the first rename on, `fresh` until the last one.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from samstudio import files
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

    def remove_fresh(self) -> None: ...

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
            self._remove_made_by_engine()
            _rename(self.fresh, self.live)

    def back(self) -> None:
        if Path(self.kept).exists():
            if Path(self.fresh).exists():
                self._remove_made_by_engine()
            elif Path(self.live).exists():
                _rename(self.live, self.fresh)
            _rename(self.kept, self.live)

    def remove_fresh(self) -> None:
        if Path(self.fresh).exists():
            shutil.rmtree(self.fresh)

    def removal(self, name: str) -> str:
        return f"rm -r {shlex.quote(name)}" if Path(name).exists() else ""

    def described(self) -> dict[str, Any]:
        return {"folders": asdict(self)}

    def _remove_made_by_engine(self) -> None:
        """Between two renames nothing is live; an engine that starts a container then makes an empty folder there."""
        if Path(self.live).exists():
            Path(self.live).rmdir()


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

    def remove_fresh(self) -> None:
        self._server.drop(self.fresh)

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


def read(described: dict[str, Any]) -> Swap:
    ((kind, given),) = described.items()
    return SwapFolders(**given) if kind == "folders" else SwapDatabases(**given)


def _rename(source: str, target: str) -> None:
    Path(source).rename(target)
    files.settle(Path(target).parent)
