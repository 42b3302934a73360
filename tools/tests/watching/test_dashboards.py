"""Dashboards ask Prometheus for what somebody tells it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from samstudio.watching.collect import HELPS

from tools.tests import haproxy, servers, stand_in_backend
from tools.tests.test_roles import mappings
from tools.tests.watching.promtool import promtool

ROOT = Path(__file__).parents[3]
FILES = ROOT / "roles" / "monitoring" / "files"
DASHBOARDS = sorted(FILES.glob("dashboards/*.json"))
RULES = yaml.safe_load((FILES / "rules.yml").read_text())["groups"][0]["rules"]
EXPORTED_NAME = re.compile(r"(?m)^([a-z]\w*)(?:[{]| )")
#: what stands in an expression and is no metric
SYNTAX = {"sum", "by", "rate", "time", "avg", "histogram_quantile", "count", "and", "or", "unless", "on", "absent"}
#: of PostgreSQL's exporter, as its documentation has them
POSTGRESQL = {"pg_up", "pg_stat_database_numbackends", "pg_database_size_bytes"}
#: of HAProxy: `test_haproxy_tells_what_is_asked_for`
HAPROXY = {"haproxy_server_status", "haproxy_server_http_responses_total"}


def asked(dashboard: Path) -> list[str]:
    """The expressions of every panel, with Grafana's own variable as a time."""
    told: Any = json.loads(dashboard.read_text())
    found = [part["expr"].replace("$__rate_interval", "5m") for part in mappings(told) if "expr" in part]
    assert found, "no expression"
    return found


def names(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    bare = re.sub(r'"[^"]*"|[{][^}]*[}]|\b(?:by|on) [(][^)]*[)]', "", re.sub(r'"[^"]*"', "", expression))
    return set(re.findall(r"\b[A-Za-z_]\w*\b", re.sub(r"\[\w+\]", "", bare))) - SYNTAX


def backend_names() -> set[str]:
    """What the backend's metrics.py tells."""
    text = (ROOT / "backend" / "sam2_backend" / "metrics.py").read_text()
    suffixes = {"Counter": ["_total"], "Gauge": [""], "Histogram": ["_bucket", "_sum", "_count"]}
    made = re.findall(r'(Counter|Gauge|Histogram)\(\s*"(\w+)"', text)
    assert len(made) > 15
    return {name + suffix for kind, name in made for suffix in suffixes[kind]}


@pytest.fixture(scope="module")
def node_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What a real node exporter tells, with a file of ours in its folder."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "samstudio.prom").write_text("# HELP samstudio_x X.\n# TYPE samstudio_x gauge\nsamstudio_x 1\n")
    port, log = servers.free_port(), folder / "log"
    argv = ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}"]
    with log.open("wb") as out:
        process = subprocess.Popen([*argv, f"--collector.textfile.directory={folder}"], stdout=out, stderr=out)
    try:
        servers.wait(f"http://127.0.0.1:{port}/", process, log, 60)
        text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30, trust_env=False).text
    finally:
        servers.stop(process, seconds=10)
    assert 'file="' + str(folder / "samstudio.prom") in text
    return set(EXPORTED_NAME.findall(text))


def known(node: set[str]) -> set[str]:
    script = set(re.findall(r"samstudio_gpu_\w+", (FILES / "gpu-metrics").read_text()))
    return {"up", "ALERTS"} | set(HELPS) | script | backend_names() | node | POSTGRESQL | HAPROXY


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.name)
def test_every_metric_of_a_dashboard_is_told_by_somebody(dashboard: Path, node_names: set[str]) -> None:
    assert len(node_names) > 100
    unknown = {name for each in asked(dashboard) for name in names(each)} - known(node_names)
    assert unknown == set()


def test_every_metric_of_the_rules_is_told_by_somebody(node_names: set[str]) -> None:
    assert {name for rule in RULES for name in names(rule["expr"])} - known(node_names) == set()


def test_a_metric_that_nobody_tells_is_noticed(node_names: set[str]) -> None:
    told = names('histogram_quantile(0.95, sum by (le) (rate(sam2_nothing_bucket{a="sum(x)"}[5m]))) or node_nothing')
    assert told - known(node_names) == {"sam2_nothing_bucket", "node_nothing"}


def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    expressions = [each for dashboard in DASHBOARDS for each in asked(dashboard)]
    rules = [{"record": f"panel:{number}", "expr": each} for number, each in enumerate(expressions)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    judged = promtool("check", "rules", str(file))
    assert (judged.returncode, f"{len(rules)} rules found" in judged.stdout) == (0, True), judged.stderr
    file.write_text(json.dumps({"groups": [{"name": "panels", "rules": [*rules, {"record": "x:y", "expr": "up ="}]}]}))
    assert promtool("check", "rules", str(file)).returncode == 1


@pytest.mark.integration
def test_haproxy_tells_what_is_asked_for(tmp_path: Path) -> None:
    port = servers.free_port()
    with stand_in_backend.running() as one:
        address = one.url.removeprefix("http://")
        with haproxy.running(tmp_path, {"gpu1": address}, metrics_port=port):
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30, trust_env=False).text
            other = httpx.get(f"http://127.0.0.1:{port}/predict", timeout=30, trust_env=False)
    assert set(EXPORTED_NAME.findall(text)) >= HAPROXY
    assert 'haproxy_server_status{proxy="sam2",server="gpu1",state="UP"} 1' in text
    assert other.status_code == 503
