"""What happens when the card has no room, fails for good or is shared, and when a server is stopped while it loads."""

from __future__ import annotations

import signal
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable

from serving import Annotator, Running, click_body

from benchmarks.gpu.common import Table
from benchmarks.gpu.servers import Bench, serving, start


def run(asked: Namespace) -> None:
    table = Table(asked, "failures", ("what", "found", "as it should be"))
    on_a_card = asked.device.startswith("cuda")
    checks: list[tuple[str, bool, Callable[[Namespace, str], tuple[str, bool]]]] = [
        ("stopped while it loads", False, _stopped),
        ("two servers on one device", False, _shared),
        ("a device that is not there", False, _absent),
        ("room for some images only", True, _little_room),
        ("room for no image", True, _no_room),
        ("a card that fails for good", True, _lost),
    ]
    wrong = []
    for what, needs_card, check in checks:
        if needs_card and not on_a_card:
            table.row(what, "not run: needs a card", "-")
            continue
        found, right = check(asked, asked.sizes[0])
        table.row(what, found, "yes" if right else "NO")
        wrong += [] if right else [what]
    if wrong:
        raise AssertionError(f"not as it should be: {', '.join(wrong)}")


def _stopped(asked: Namespace, size: str) -> tuple[str, bool]:
    found = []
    for after in (3.0,) if asked.quick else (1.0, 3.0, 5.0, 8.0):
        with tempfile.TemporaryDirectory() as folder, start(asked, size, folder) as bench:
            time.sleep(after)
            ready = _ready(bench.server)
            began = time.monotonic()
            bench.server.process.send_signal(signal.SIGTERM)
            status = bench.server.process.wait(60)
            found.append((after, "ready" if ready else "loading", status, time.monotonic() - began))
    told = [f"after {after:g} s ({state}): {status} in {took:.1f} s" for after, state, status, took in found]
    return "; ".join(told), all(status in (0, -signal.SIGTERM) for _, _, status, _ in found)


def _ready(server: Running) -> bool:
    try:
        return server.get("/health").status_code == 200
    except OSError:
        return False


def _shared(asked: Namespace, size: str) -> tuple[str, bool]:
    with serving(asked, size) as one, serving(asked, size) as other:
        for bench in (one, other):
            for turn in range(5):
                assert bench.click(Annotator(bench.server), bench.new_image(), turn)
    return "both answered 5 cold clicks", True


def _absent(asked: Namespace, size: str) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory() as folder, start(asked, size, folder, DEVICE="cuda:63") as bench:
        status = bench.server.process.wait(120)
        said = bench.server.log().strip().splitlines()[-1]
    return f"status {status}: {said[:200]}", status == 2 and "cuda:63" in said


def _little_room(asked: Namespace, size: str) -> tuple[str, bool]:
    """More images than fit, each clicked: those before make room."""
    count = 60
    with serving(asked, size, PROVOKE_ROOM_MIB="256", CACHE_MEMORY_BYTES=str(64 << 30)) as bench:
        answers = [_status(bench, turn) for turn in range(count)]
        evictions = bench.server.get("/status").json()["cache"]["evictions"]
    return f"{answers.count(200)} of {count} answered, {evictions} made room", answers == [
        200
    ] * count and evictions > 0


def _no_room(asked: Namespace, size: str) -> tuple[str, bool]:
    with serving(asked, size, PROVOKE_ROOM_MIB="0", CACHE_MEMORY_BYTES=str(64 << 30)) as bench:
        answers = {_status(bench, turn) for turn in range(3)}
        said = bench.server.get("/status").json()["last_errors"]
        alive = _ready(bench.server)
    told = str(said[-1] if said else "")[:200]
    return f"{answers}, {told}, health {'200' if alive else '503'}", answers == {
        503
    } and "out of memory" in told and alive


def _lost(asked: Namespace, size: str) -> tuple[str, bool]:
    with serving(asked, size, PROVOKE_LOSS="3") as bench:
        answers = [_status(bench, turn) for turn in range(4)]
        health = bench.server.get("/health").status_code
        status = bench.server.process.wait(60)
    return f"clicks {answers}, health {health}, then the process ended with {status}", (
        answers == [200, 200, 503, 503] and health == 503 and status == 1
    )


def _status(bench: Bench, turn: int) -> int:
    body = click_body(bench.new_image(), 50, 50, 1024, 768, task=turn)
    return int(bench.server.post("/predict", body).status_code)
