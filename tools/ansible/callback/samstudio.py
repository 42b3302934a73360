"""Ansible's output for people who wait: what is being done and for how long, then one line for what changed.

On a terminal the running task is shown with a clock; elsewhere (a log, CI) only finished lines are written. Failures,
warnings, diffs and the recap look as they always do.
"""

from __future__ import annotations

import os
import sys
import threading
import time
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


class Clock:
    """Rewrites one terminal line each second. It writes past Python's buffers: Ansible forks while this runs."""

    def __init__(self) -> None:
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
            line = f"… {text}  {time.monotonic() - self._since:.0f} s"
            os.write(1, f"\r\x1b[K\x1b[2m{line[: max(os.get_terminal_size(1).columns, 20) - 1]}\x1b[0m".encode())


class CallbackModule(Default):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "samstudio"

    def __init__(self) -> None:
        super().__init__()
        self._clock = Clock()
        self._begun = time.monotonic()
        self._task_begun = self._begun

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._clock.clear()
        self._play = play
        self._display.display(f"\n{play.get_name().strip()}", color=constants.COLOR_HIGHLIGHT)

    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        self._last_task_name = None
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
        super().v2_playbook_on_stats(stats)
        self._display.display(f"{time.monotonic() - self._begun:.0f} s\n")


def _text(message: Any) -> str:
    return "\n".join(map(str, message)) if isinstance(message, list) else str(message)
