"""Ansible's output for people who wait: what is being done and for how long, then one line for what changed.

On a terminal the running task is shown with a clock and, where an earlier run is known, the share that is done and the
time that is left. Elsewhere (a log, CI) only finished lines are written. Failures, warnings, diffs and the recap look
as they always do.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.callback.default import CallbackModule as Default

DOCUMENTATION = """
name: samstudio
type: stdout
short_description: the running task with a clock, and what changed
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""

#: An unchanged task is worth a line when it took this long.
SLOW_SECONDS = 3.0


class LastRun:
    """How far a run is, by how long its tasks took in the last that succeeded: seconds, by a task's file and line."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._now: dict[str, float] = {}
        self._running, self._before = "", 0.0
        self._last: dict[str, float] = {}
        with contextlib.suppress(OSError, ValueError, TypeError):
            self._last = dict(json.loads(Path(file).read_text())) if file else {}

    def begin(self, place: str) -> None:
        """A task begins; a place that comes again, in a loop of includes, adds up."""
        self._running = place
        self._before = self._now.setdefault(place, 0.0)

    def took(self, seconds: float) -> None:
        """The running task has taken this long so far."""
        if self._running:
            self._now[self._running] = self._before + seconds

    def told(self) -> str:
        """The share that is done and the time that is left, "" where no run was seen yet."""
        total = sum(self._last.values())
        if not total:
            return ""
        passed = sum(took for place, took in self._last.items() if place in self._now and place != self._running)
        done = passed + min(self._now.get(self._running, 0.0), self._last.get(self._running, 0.0))
        left = round(total - done)
        return f"{done / total:.0%}, {left // 60}:{left % 60:02} left  "

    def keep(self) -> None:
        with contextlib.suppress(OSError):
            if self._file:
                Path(self._file).parent.mkdir(parents=True, exist_ok=True)
                Path(self._file).write_text(json.dumps(self._now))


class Clock:
    """Rewrites one terminal line each second. It writes past Python's buffers: Ansible forks while this runs."""

    def __init__(self, last_run: LastRun) -> None:
        self._last_run = last_run
        self._enabled = sys.stdout.isatty()
        self._text = ""
        self._since = 0.0
        if self._enabled:
            threading.Thread(target=self._tick, daemon=True).start()

    def show(self, text: str) -> None:
        self._text, self._since = text, time.monotonic()
        self._draw()

    def clear(self) -> None:
        self._text = ""
        if self._enabled:
            os.write(1, b"\r\x1b[K")

    def _tick(self) -> None:
        while True:
            time.sleep(1)
            self._draw()

    def _draw(self) -> None:
        text = self._text
        if self._enabled and text:
            seconds = time.monotonic() - self._since
            self._last_run.took(seconds)
            line = f"… {self._last_run.told()}{text}  {seconds:.0f} s"
            os.write(1, f"\r\x1b[K\x1b[2m{line[: max(os.get_terminal_size(1).columns, 20) - 1]}\x1b[0m".encode())


class CallbackModule(Default):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "samstudio"

    def __init__(self) -> None:
        super().__init__()
        self._last_run = LastRun(os.environ.get("SAMSTUDIO_LAST_RUN", ""))
        self._clock = Clock(self._last_run)
        self._begun = time.monotonic()
        self._task_begun = self._begun

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._clock.clear()
        self._play = play
        self._display.display(f"\n{play.get_name().strip()}", color=constants.COLOR_HIGHLIGHT)

    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        self._last_task_name = None
        self._last_run.took(time.monotonic() - self._task_begun)
        self._last_run.begin(str(task.get_path()))
        self._task_begun = time.monotonic()
        self._clock.show(task.get_name().strip())

    def v2_runner_on_ok(self, result: Any) -> None:
        self._clock.clear()
        self._handle_warnings_and_exception(result)
        took = time.monotonic() - self._task_begun
        changed = bool(result.result.get("changed"))
        if changed or took >= SLOW_SECONDS:
            state, color = ("changed", constants.COLOR_CHANGED) if changed else ("ok", constants.COLOR_OK)
            name = result.task.get_name().strip()
            self._display.display(f"  {state:8}{name}  [{self.host_label(result)}] {took:.1f} s", color=color)
        if self._run_is_verbose(result) and "msg" in result.result:
            self._display.display(_text(result.result["msg"]))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._clock.clear()
        if not ignore_errors:
            super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._clock.clear()
        super().v2_runner_on_unreachable(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Nothing was done, so nothing is said."""

    v2_runner_item_on_skipped = v2_runner_on_skipped

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """The task's own line follows when its last item is done; messages are shown at once."""
        if self._run_is_verbose(result) and "msg" in result.result:
            self._clock.clear()
            self._display.display(_text(result.result["msg"]))

    def v2_runner_item_on_failed(self, result: Any) -> None:
        self._clock.clear()
        super().v2_runner_item_on_failed(result)

    def v2_runner_retry(self, result: Any) -> None:
        """A task that waits is still one task: its clock goes on."""

    def v2_on_file_diff(self, result: Any) -> None:
        self._clock.clear()
        super().v2_on_file_diff(result)

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Which file a task came from matters with -v only."""

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._clock.clear()
        self._last_run.took(time.monotonic() - self._task_begun)
        if not stats.failures and not stats.dark:
            self._last_run.keep()
        super().v2_playbook_on_stats(stats)
        self._display.display(f"{time.monotonic() - self._begun:.0f} s\n")


def _text(message: Any) -> str:
    return "\n".join(map(str, message)) if isinstance(message, list) else str(message)
