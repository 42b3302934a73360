"""Files that are whole, old or new, whenever the machine stops."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


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
