"""How long each step of a click took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Steps:
    """Seconds by step name; a step that happens twice adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._begun = time.perf_counter()

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun

    def milliseconds(self) -> dict[str, float]:
        """Each step, and `total` since this object was made, to the hundredth."""
        total = {"total": time.perf_counter() - self._begun}
        return {name: round(1000 * seconds, 2) for name, seconds in (self.seconds | total).items()}
