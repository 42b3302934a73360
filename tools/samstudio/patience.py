"""Servers that are restarted in the middle of something long are waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from samstudio import ending
from samstudio.backend_client import BackendError
from samstudio.labelstudio import LabelStudioError
from samstudio.output import say

T = TypeVar("T")
#: Seconds; how long, and between two tries.
PATIENCE, PAUSE = 600.0, 2.0


def patiently(action: Callable[[], T]) -> T:
    """Do something again while the server that it needs does not answer, or says that it cannot at the moment.

    Raises:
        SamstudioError: it refused, or was away for longer than `PATIENCE`.
        Ended: this process was asked to end.
    """
    deadline = time.monotonic() + PATIENCE
    said = False
    while True:
        try:
            return action()
        except (BackendError, LabelStudioError) as error:
            gone = error.status is None or error.status >= 500
            if not gone or time.monotonic() > deadline:
                raise
            if not said:
                say(f"{error.message} Waiting for it …")
                said = True
            ending.wait(PAUSE)
