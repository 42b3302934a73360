"""The last day by minutes: counts, gaps, restarts, and the file that outlives the process."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from sam2_backend.history.day import MINUTES, Day
from sam2_backend.history.file import MOST_LINES, HistoryFile
from sam2_backend.history.minute import BUCKETS, Minute
from sam2_backend.history.reading import reading
from sam2_backend.history.recorder import Recorder
from sam2_backend.metrics import CLICK_SECONDS, Metrics
from sam2_backend.problems import Problem, ProblemLog

NOON = 29_000_000  # minutes since 1970


def clicked(metrics: Metrics, *seconds: float, cache: str = "memory") -> None:
    for each in seconds:
        metrics.clicks.labels(cache).inc()
        metrics.steps.labels("total").observe(each)
        metrics.steps.labels("decode_prompt").observe(each / 2)


def buckets(**counts: int) -> tuple[int, ...]:
    """By the bucket's number: `buckets(b3=2)`."""
    return tuple(counts.get(f"b{number}", 0) for number in range(BUCKETS))


def test_what_is_counted_is_read() -> None:
    metrics = Metrics()
    clicked(metrics, 0.0005, 0.04, 0.05)
    clicked(metrics, 200.0, cache="miss")
    problems = ProblemLog(metrics)
    for status, where in ((404, "request"), (422, "prompt"), (422, "fetch"), (503, "queue"), (401, "auth")):
        problems.report(Problem(status, where, "x"))
    metrics.lookups.labels("miss").inc(3)
    metrics.lookups.labels("disk").inc(5)
    metrics.ready.set(1)
    metrics.queue.labels("interactive").set(2)
    metrics.queue.labels("encode").set(4)
    metrics.queue.labels("prewarm").set(90_000)
    metrics.device_memory.set(7e9)
    read = reading(metrics.registry, NOON)
    assert read.memory > 1e6
    assert read == Minute(
        at=NOON,
        prepared=3,
        unprepared=1,
        failed=3,
        refused=1,
        encoded=3,
        seconds=buckets(b0=1, b7=2, b18=1),
        ready=True,
        clicking=2,
        encoding=4,
        memory=read.memory,
        device_memory=7_000_000_000,
    )
    before = read
    clicked(metrics, 0.04)
    assert reading(metrics.registry, NOON + 1).since(before).seconds == buckets(b7=1)


def test_quantiles_rise_evenly_within_a_bucket() -> None:
    assert Minute(at=0).quantile(0.5) is None
    hundred = Minute(at=0, seconds=buckets(b7=50, b8=50))  # 30 to 50 ms, 50 to 100 ms
    assert [hundred.quantile(share) for share in (0.25, 0.5, 0.75)] == pytest.approx([0.04, 0.05, 0.075])
    assert Minute(at=0, seconds=buckets(b0=1)).quantile(0.5) == pytest.approx(0.0005)
    assert Minute(at=0, seconds=buckets(b18=1)).quantile(0.5) == CLICK_SECONDS[-1]


def test_of_two_as_one_counts_are_added_and_the_most_is_kept() -> None:
    one = Minute(at=5, starts=1, prepared=2, failed=1, clicking=7, memory=10, seconds=buckets(b1=2))
    other = Minute(at=6, prepared=1, unprepared=3, ready=True, clicking=3, memory=20, seconds=buckets(b1=1, b2=3))
    both = one.and_then(other)
    assert (both.at, both.starts, both.clicks, both.failed, both.ready) == (5, 1, 6, 1, True)
    assert (both.clicking, both.memory, both.seconds) == (7, 20, buckets(b1=3, b2=3))


def test_a_day_is_kept_and_no_more() -> None:
    day = Day()
    for at in range(NOON, NOON + 3 * MINUTES):
        day.add(Minute(at=at, prepared=1), at)
    ends = NOON + 3 * MINUTES - 1
    assert [each.at for each in day.minutes()] == list(range(ends - MINUTES + 1, ends + 1))
    day.add(Minute(at=ends, prepared=1), ends)
    assert day.minutes()[-1].prepared == 2
    day.add(Minute(at=NOON), NOON)  # the clock was a day ahead, and is put right
    assert [each.at for each in day.minutes()] == [NOON]


def test_a_line_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    file, known = HistoryFile(tmp_path), [Minute(at=at, prepared=at, ready=True) for at in (1, 2, 3)]
    file.add(known[0], known)
    with (tmp_path / "history.jsonl").open("ab") as cut_off:
        cut_off.write(b'\n[2,0,0,0,1\n"a word"\n[2,0,0,0,0,0,0,[1,2]]\n[-2]\n\xff\xfe\n[9,0,0,1')
    for minute in known[1:]:
        HistoryFile(tmp_path).add(minute, known)
    assert HistoryFile(tmp_path).read() == known


def test_the_file_stays_small(tmp_path: Path) -> None:
    file, day = HistoryFile(tmp_path), Day()
    busy = tuple(10**6 for _ in range(BUCKETS))
    largest = 0
    for at in range(NOON, NOON + MOST_LINES + 10):
        minute = Minute(at=at, prepared=10**6, failed=10**6, seconds=busy, memory=10**11, device_memory=10**11)
        day.add(minute, at)
        file.add(minute, day.minutes() if at >= NOON + MOST_LINES else [])
        largest = max(largest, (tmp_path / "history.jsonl").stat().st_size)
    assert largest < 1 << 20
    assert [path.name for path in tmp_path.iterdir()] == ["history.jsonl"]
    again = HistoryFile(tmp_path)
    assert [each.at for each in again.read()[-MINUTES:]] == [each.at for each in day.minutes()]


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    file = HistoryFile(tmp_path / "cache")
    with caplog.at_level(logging.WARNING):
        assert file.read() == []
        for at in (1, 2, 3):
            file.add(Minute(at=at), [])
    assert len(caplog.records) == 1
    (tmp_path / "cache").unlink()
    file.add(Minute(at=4), [])
    assert HistoryFile(tmp_path / "cache").read() == [Minute(at=4)]


class Life:
    """A process: its metrics count from nothing, and the file is what the one before it left."""

    def __init__(self, folder: Path, begin: int) -> None:
        self.folder = folder
        self.now = 60.0 * begin + 59.99  # the minute ends at once
        self.metrics = Metrics()
        self.recorder = Recorder(self.metrics, lambda: None, HistoryFile(folder), clock=lambda: self.now)

    async def noted(self) -> None:
        """Until something of this minute is on disk."""
        async with asyncio.timeout(30):
            while int(self.now) // 60 not in [each.at for each in HistoryFile(self.folder).read()]:
                await asyncio.sleep(0.01)

    async def pass_minutes(self, count: int) -> None:
        for _ in range(count):
            self.now += 60
            await self.noted()


def test_a_restart_leaves_a_gap_and_neither_loses_a_click_nor_counts_one_twice(tmp_path: Path) -> None:
    async def lives() -> list[Minute]:
        first = Life(tmp_path, NOON)
        clicked(first.metrics, 0.01, 0.02)
        first.recorder.start()
        await first.noted()
        await first.pass_minutes(2)
        clicked(first.metrics, 0.03)
        await first.recorder.stop()
        second = Life(tmp_path, NOON + 100)
        clicked(second.metrics, 0.04)
        second.recorder.start()
        await second.noted()
        clicked(second.metrics, 0.05)  # not noted yet, and told
        told = second.recorder.day()
        await second.recorder.stop()
        return told

    told = asyncio.run(lives())
    assert sum(each.clicks for each in told) == 5
    assert sum(sum(each.seconds) for each in told) == 5
    assert [each.at for each in told if each.starts] == [NOON, NOON + 100]
    assert [each.at for each in told] == [NOON, NOON + 1, NOON + 2, NOON + 100]
    assert [each.clicks for each in told if each.at == NOON] == [2]


def test_a_minute_that_cannot_be_looked_at_is_missing_and_the_next_is_noted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = [True]

    def refresh() -> None:
        if broken:
            raise RuntimeError("the device does not say")

    async def life() -> list[Minute]:
        recorder = Recorder(Metrics(), refresh, HistoryFile(tmp_path), clock=lambda: 60.0 * NOON + 59.99)
        recorder.start()
        async with asyncio.timeout(30):
            while not caplog.records:
                await asyncio.sleep(0.01)
        broken.clear()
        await recorder.stop()
        return HistoryFile(tmp_path).read()

    assert asyncio.run(life())
    assert "could not be noted" in caplog.text
