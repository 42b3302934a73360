"""Which causes tests produce: a test is counted for a cause only with the result that has it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from samstudio.doctor.link import Result

PRODUCED: set[str] = set()
#: those whose test lets the doctor mend it, too
MENDED: set[str] = set()


def produces(cause: str, *, mends: bool = False) -> Callable[[Callable[..., Result]], Callable[..., None]]:
    """The decorated test gives a result, which must have the cause."""

    def decorate(test: Callable[..., Result]) -> Callable[..., None]:
        PRODUCED.add(cause)
        MENDED.update({cause} if mends else ())

        @functools.wraps(test)
        def run(*arguments: Any, **fixtures: Any) -> None:
            result = test(*arguments, **fixtures)
            assert result.cause is not None, result
            assert result.cause.id == cause, result

        return run

    return decorate
