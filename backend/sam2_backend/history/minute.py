"""What a minute of the backend was like."""

from __future__ import annotations

from typing import Annotated

import msgspec

from sam2_backend.metrics import CLICK_SECONDS

Natural = Annotated[int, msgspec.Meta(ge=0)]
BUCKETS = len(CLICK_SECONDS) + 1
Buckets = Annotated[tuple[Natural, ...], msgspec.Meta(min_length=BUCKETS, max_length=BUCKETS)]


class Minute(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A minute, or several as one.

    Counted within it:
        starts: of the process.
        prepared, unprepared: clicks on an image whose embedding was there, or had to be made first.
        failed, refused: answers that are not a mask, through a fault, or because what was asked for cannot be done.
        encoded: images, for clicks or ahead of them.
        seconds: clicks by how long they took, below each of CLICK_SECONDS, and above all of them.

    The most that was seen when it was looked at:
        ready: whether a model could predict. clicking, encoding: clicks and images in progress.
        memory, device_memory: bytes, of the process and of PyTorch on the GPU.
    """

    at: Natural  # minutes since 1970, UTC
    starts: Natural = 0
    prepared: Natural = 0
    unprepared: Natural = 0
    failed: Natural = 0
    refused: Natural = 0
    encoded: Natural = 0
    seconds: Buckets = (0,) * BUCKETS
    ready: bool = False
    clicking: Natural = 0
    encoding: Natural = 0
    memory: Natural = 0
    device_memory: Natural = 0

    @property
    def clicks(self) -> int:
        return self.prepared + self.unprepared

    def and_then(self, later: Minute) -> Minute:
        """Both as one, that begins with this one."""
        return Minute(
            at=self.at,
            starts=self.starts + later.starts,
            prepared=self.prepared + later.prepared,
            unprepared=self.unprepared + later.unprepared,
            failed=self.failed + later.failed,
            refused=self.refused + later.refused,
            encoded=self.encoded + later.encoded,
            seconds=tuple(one + other for one, other in zip(self.seconds, later.seconds, strict=True)),
            ready=self.ready or later.ready,
            clicking=max(self.clicking, later.clicking),
            encoding=max(self.encoding, later.encoding),
            memory=max(self.memory, later.memory),
            device_memory=max(self.device_memory, later.device_memory),
        )

    def since(self, before: Minute) -> Minute:
        """What was counted after `before`, which counts from the same beginning."""
        return msgspec.structs.replace(
            self,
            prepared=self.prepared - before.prepared,
            unprepared=self.unprepared - before.unprepared,
            failed=self.failed - before.failed,
            refused=self.refused - before.refused,
            encoded=self.encoded - before.encoded,
            seconds=tuple(one - other for one, other in zip(self.seconds, before.seconds, strict=True)),
        )

    def quantile(self, share: float) -> float | None:
        """Seconds within which this share of the clicks was answered; None without clicks.

        Within a bucket it is taken to rise evenly, as Prometheus's `histogram_quantile` takes it.
        """
        wanted = share * sum(self.seconds)
        if not wanted:
            return None
        below = 0
        for number, count in enumerate(self.seconds[:-1]):
            if count and below + count >= wanted:
                low = CLICK_SECONDS[number - 1] if number else 0.0
                return low + (CLICK_SECONDS[number] - low) * (wanted - below) / count
            below += count
        return float(CLICK_SECONDS[-1])
