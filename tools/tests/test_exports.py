"""Label Studio's copies of exports: counted, and removed when they are old; nothing else is."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from pathlib import Path

import pytest
from samstudio import exports

from tools.tests.test_units import render, verify

#: as Label Studio 1.23.2 names them, `data_export/models.py: DataExport.generate_export_file`
COPY = "project-3-at-2026-11-28-20-41-0a1b2c3d"
DAY = 24 * 3600


def unit(kind: str, folder: Path, days: int = 30) -> str:
    named = {"__label_studio_exports": str(folder), "__label_studio_uid": 1001}
    return render("label_studio", f"exports.{kind}.j2", label_studio_exports_keep_days=days, **named)


def clean(folder: Path, days: int = 30) -> None:
    """Run what the service runs."""
    (command,) = [line[10:] for line in unit("service", folder, days).splitlines() if line.startswith("ExecStart=")]
    subprocess.run(shlex.split(command), check=True, timeout=30)


def aged(path: Path, days: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
    return path


def test_systemd_is_content_with_the_units(tmp_path: Path) -> None:
    units = {f"samstudio-exports.{kind}": unit(kind, tmp_path / "lab data") for kind in ("service", "timer")}
    assert verify(tmp_path, units) == ""
    broken = {**units, "samstudio-exports.timer": units["samstudio-exports.timer"].replace("daily", "dayly")}
    assert "samstudio-exports.timer" in verify(tmp_path / "broken", broken)


def test_old_copies_are_removed_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "lab data" / "export"
    old = [aged(folder / f"{COPY}{tail}", 30.5) for tail in (".json", "-info.json")]
    kept = [
        aged(folder / "project-4-at-2026-11-28-20-41-0a1b2c3d.json", 29.5),
        aged(folder / "my project-3-at-2026-11-28.json", 300),
        aged(folder / f"{COPY}.json.mine", 300),
        aged(folder / "notes.txt", 300),
        aged(folder / "below" / f"{COPY}.json", 300),
        aged(tmp_path / f"{COPY}.json", 300),
    ]
    link = folder / f"{COPY.replace('3', '5', 1)}.json"
    link.symlink_to(kept[-1])
    os.utime(link, (0, 0), follow_symlinks=False)
    clean(folder)
    assert link.is_symlink()
    assert [path for path in old if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []
    clean(folder, days=1)
    assert not kept[0].exists()


@pytest.mark.parametrize("there", [True, False])
def test_copies_and_snapshots_are_counted(tmp_path: Path, there: bool) -> None:
    if there:
        aged(tmp_path / "export" / f"{COPY}.json", 1)
        aged(tmp_path / "media" / "export" / "3" / f"{COPY}.json", 1)
        aged(tmp_path / "media" / "upload" / "3" / "picture.png", 1)
    assert exports.kept(tmp_path) == {"files": 2 * there, "bytes": 4 * there}
