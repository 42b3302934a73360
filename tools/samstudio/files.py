"""Files that are whole, old or new, whenever the machine stops; and whether one can be written, before it matters."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from samstudio.errors import SamstudioError


def write(path: Path, content: str | bytes, *, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Replace a file at once.

    Args:
        mode: its permissions, from the first byte on.
        owner: user and group, where they are others than the caller's.

    Raises:
        OSError: the folder or the disk refused; the old file is as it was.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            if owner:
                os.fchown(file.fileno(), *owner)
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def keep(path: Path, content: str, *, what: str, mode: int, folder_mode: int = 0o777) -> None:
    """`write`, where what is kept must not be lost; its folder is made.

    Args:
        what: is kept there, as the subject of a sentence.

    Raises:
        SamstudioError: the folder or the disk refused.
    """
    try:
        path.parent.mkdir(mode=folder_mode, parents=True, exist_ok=True)
        write(path, content, mode=mode)
    except OSError as error:
        raise SamstudioError(
            f"{what} cannot be written down.",
            found=str(error),
            expected=f"a writable {path.parent}",
            command=f"ls -ld {path.parent}; df -h {path.parent}",
        ) from error


def own_state() -> Path:
    """Where this user's own state lies (https://specifications.freedesktop.org/basedir-spec/latest/)."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "samstudio"


def settle(folder: Path) -> None:
    """Return once what was renamed, made or removed in a folder stays so, even if the power fails."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def refusal(file: Path) -> str:
    """Why a file cannot be written, in a few words; "" where it can.

    Its folder is tried, not asked: root may write everywhere, as os.access has it, /proc and its like included.
    """
    try:
        if file.is_dir():
            return f"{file} is a folder"
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}."):
            return ""
    except OSError as error:
        return f"{file.parent}: {error.strerror}"
