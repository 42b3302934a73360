"""Processes by more than their number, which is given out again."""

from __future__ import annotations

from pathlib import Path


def started_at(process: int) -> int:
    """When a process started, in clock ticks since the machine did; 0 when there is none (proc(5), stat, field 22)."""
    try:
        after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return 0 if after_name[0] == "Z" else int(after_name[19])
