"""The same engine inside `label-studio-ml start`, for people who run label-studio-ml 2.x (not on PyPI) already.

Importing this needs that package. Our own server (`python -m sam2_backend`) does not, and does more: prewarming,
limits, metrics, several annotators at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import orjson
from label_studio_ml.model import LabelStudioMLBase  # type: ignore[import-not-found]

from sam2_backend.backend import Backend
from sam2_backend.label_studio.predictions import PredictRequest
from sam2_backend.label_studio.projects import project_uid
from sam2_backend.settings import from_environment

T = TypeVar("T")


class _Shared:
    """One backend a process, on an event loop of its own; label-studio-ml makes a model object for every request."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="sam2-backend", daemon=True).start()
        self.backend = self.run(self._start())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> Backend:
        backend = Backend(from_environment())
        await backend.start()
        return backend


_shared: _Shared | None = None
_starting = threading.Lock()


def _backend() -> _Shared:
    global _shared
    with _starting:
        _shared = _shared or _Shared()
    return _shared


class Sam2(LabelStudioMLBase):  # type: ignore[misc]
    """`label-studio-ml start` finds this class."""

    def setup(self) -> None:
        self.set("model_version", "SAM2")

    def predict(self, tasks: list[dict[str, Any]], context: dict[str, Any] | None = None, **_: Any) -> dict[str, Any]:
        """Raises Problem, which label-studio-ml answers as a 500."""
        shared = _backend()
        asked = PredictRequest(
            tasks=list(tasks),
            project=project_uid(self.project_id),
            label_config=self.label_config or "",
            result=context.get("result") if context else None,
        )

        async def answer() -> dict[str, Any]:
            shared.backend.projects.get(asked.project).label_config = asked.label_config
            return await (await shared.backend.ready()).predictions.predict(asked)

        # RLE travels as ready-made JSON inside the answer; label-studio-ml wants plain lists.
        plain: dict[str, Any] = orjson.loads(orjson.dumps(shared.run(answer())))
        return plain
