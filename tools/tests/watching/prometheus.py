"""A real Prometheus with the role's rules, which waits for no alert longer than for a moment."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from tools.tests import servers

RULES = Path(__file__).parents[3] / "roles" / "monitoring" / "files" / "rules.yml"
START_SECONDS, ALERT_SECONDS = 60, 60


class Prometheus:
    """Running, at an address."""

    def __init__(self, url: str) -> None:
        self._url = url

    def firing(self) -> set[str]:
        return {alert["labels"]["alertname"] for alert in self._get("alerts")["alerts"] if alert["state"] == "firing"}

    def wait_up(self, count: int) -> None:
        """Until so many answer to it."""
        self._wait(lambda: len(self._get("query", query="up == 1")["result"]), count)

    def wait_firing(self, *alerts: str) -> None:
        """Until these fire and no other does."""
        self._wait(self.firing, set(alerts))

    def _wait(self, look: Any, expected: Any) -> None:
        deadline = time.monotonic() + ALERT_SECONDS
        while (found := look()) != expected:
            assert time.monotonic() < deadline, f"{found}, expected {expected}"
            time.sleep(0.1)

    def _get(self, what: str, **asked: str) -> Any:
        answer = httpx.get(f"{self._url}/api/v1/{what}", params=asked, timeout=30, trust_env=False)
        return answer.raise_for_status().json()["data"]


def rules(shorter: Mapping[str, tuple[str, str]]) -> dict[str, Any]:
    """The role's rules, none of which waits. shorter: by alert, what stands in its expression, and what is to."""
    told: dict[str, Any] = yaml.safe_load(RULES.read_text())
    for rule in told["groups"][0]["rules"]:
        rule["for"] = "0s"
        if rule["alert"] in shorter:
            before, after = shorter[rule["alert"]]
            assert before in rule["expr"]
            rule["expr"] = rule["expr"].replace(before, after)
    return told


@contextlib.contextmanager
def running(folder: Path, jobs: list[dict[str, Any]], judged: dict[str, Any]) -> Iterator[Prometheus]:
    """jobs: as `scrape_configs` has them. judged: as `rules` gives them."""
    (folder / "rules.yml").write_text(json.dumps(judged))
    interval = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "250ms"}
    told = {"global": interval, "rule_files": ["rules.yml"], "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(json.dumps(told))
    address, log = f"127.0.0.1:{servers.free_port()}", folder / "prometheus.log"
    argv = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with log.open("wb") as out:
        process = subprocess.Popen([*argv, f"--web.listen-address={address}"], stdout=out, stderr=out)
    try:
        servers.wait(f"http://{address}/-/ready", process, log, START_SECONDS)
        yield Prometheus(f"http://{address}")
    finally:
        servers.stop(process, seconds=20)
