"""The day on disk, so that a restart, which is when somebody looks, leaves the hours before it.

A line for each minute is added to `<cache>/history.jsonl`. A line that was cut off, or that another version wrote, is
passed over.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import msgspec

from sam2_backend.history.day import MINUTES
from sam2_backend.history.minute import Minute

log = logging.getLogger(__name__)
# A line takes 150 bytes; after as many lines as there are in two days, the last day's are written anew.
MOST_LINES = 2 * MINUTES
MOST_BYTES = 1 << 20


class HistoryFile:
    """Its methods block on the disk: one at a time, in a worker thread. A disk that fails is logged once."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "history.jsonl"
        self._lines = 0
        self._works = True

    def read(self) -> list[Minute]:
        """What can be read of it, as it was added."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, self._path.stat().st_size - MOST_BYTES))
                lines = file.read(MOST_BYTES).splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            self._fails(error)
            return []
        self._lines = len(lines)
        minutes = []
        for line in lines:
            try:
                minutes.append(msgspec.json.decode(line, type=Minute))
            except msgspec.DecodeError:  # as is invalid UTF-8
                continue
        return minutes

    def add(self, minute: Minute, day: Sequence[Minute]) -> None:
        """day: all that is worth keeping, this minute included."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._lines < MOST_LINES:
                # The line's end goes before it, so that one that was cut off does not spoil the next.
                with self._path.open("ab") as file:
                    file.write(b"\n" + msgspec.json.encode(minute))
                self._lines += 1
            else:
                self._write(day)
        except OSError as error:
            self._fails(error)
        else:
            self._works = True

    def _write(self, day: Sequence[Minute]) -> None:
        """Readers see the whole file or none."""
        temporary = self._path.with_suffix(".tmp")
        temporary.write_bytes(b"".join(b"\n" + msgspec.json.encode(minute) for minute in day))
        temporary.replace(self._path)
        self._lines = len(day)

    def _fails(self, error: OSError) -> None:
        if self._works:
            log.warning("The last day at /ui/health is not kept over a restart: %s: %s", self._path, error.strerror)
        self._works = False
