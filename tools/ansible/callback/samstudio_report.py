"""What a run came to, as JSON in the file that $SAMSTUDIO_REPORT names; `samstudio.playbooks` reads it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: samstudio_report
type: notification
short_description: the recap, messages, failures and custom stats of a run as JSON
description: It writes nothing unless the environment variable SAMSTUDIO_REPORT names a file.
"""

SUMS = ("ok", "changed", "failures", "unreachable", "skipped")


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "samstudio_report"

    def __init__(self) -> None:
        super().__init__()
        self._file = os.environ.get("SAMSTUDIO_REPORT", "")
        self.disabled = not self._file
        self._messages: list[dict[str, str]] = []
        self._failed: list[dict[str, str]] = []

    def v2_runner_on_ok(self, result: Any) -> None:
        if "results" not in result.result:  # each item of a loop was noted by itself
            self._note(result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        self._note(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self._fail(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._fail(result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        hosts = {}
        for host in sorted(stats.processed):
            sums = stats.summarize(host)
            hosts[host] = {name: sums[name] for name in SUMS}
        results = stats.custom.get("_run", {})
        report = {"hosts": hosts, "messages": self._messages, "failed": self._failed, "results": results}
        Path(self._file).write_text(json.dumps(report, default=str))

    def _note(self, result: Any) -> None:
        """What the display shows of a task that speaks (ansible.builtin.debug)."""
        if result.result.get("_ansible_verbose_always") and "msg" in result.result and not _hidden(result):
            self._messages.append({"host": result.host.get_name(), "message": _text(result.result["msg"])})

    def _fail(self, result: Any) -> None:
        items = [item for item in result.result.get("results", ()) if item.get("failed")]
        told = "; ".join(_text(item.get("msg", "")) for item in items or [result.result])
        task = result.task.get_name().strip()
        message = "hidden by no_log" if _hidden(result) else told
        self._failed.append({"host": result.host.get_name(), "task": task, "message": message})


def _hidden(result: Any) -> bool:
    return bool(result.result.get("_ansible_no_log"))


def _text(message: Any) -> str:
    return "\n".join(map(str, message)) if isinstance(message, list) else str(message)
