"""Each alert fires by its fault and by no other, as promtool sees it; each says what to type."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.tests.test_help import parse
from tools.tests.watching.promtool import promtool

ROOT = Path(__file__).parents[3]
RULES = ROOT / "roles" / "monitoring" / "files" / "rules.yml"
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
DAY = 86400
STUDIO, GPU = 'instance="studio"', 'instance="gpu1"'
CERTIFICATE = f'{STUDIO}, certificate="label-studio"'
TEXTFILE = 'node_textfile_mtime_seconds{%s, file="/var/lib/samstudio/metrics/%s.prom"}'

#: a host on which all is well, from second 0 on: the series and its values, a minute apart
WELL: dict[str, str] = {
    f'up{{job="sam2_backend", {GPU}}}': "1x20",
    f'up{{job="node", {STUDIO}}}': "1x20",
    f"sam2_ready{{{GPU}}}": "1x20",
    f"sam2_precision_refused{{{GPU}}}": "0x20",
    f"samstudio_label_studio_up{{{STUDIO}}}": "1x20",
    f"pg_up{{{STUDIO}}}": "1x20",
    f'samstudio_click_right{{{STUDIO}, through="label-studio"}}': "1x20",
    f'samstudio_click_median_seconds{{{STUDIO}, through="label-studio"}}': "0.03x20",
    TEXTFILE % (STUDIO, "samstudio"): "0+60x20",
    TEXTFILE % (GPU, "gpus"): "0+60x20",
    f'samstudio_gpu_up{{{GPU}, gpu="GPU-1"}}': "1x20",
    f'node_filesystem_size_bytes{{{STUDIO}, mountpoint="/", fstype="ext4"}}': "100x20",
    f'node_filesystem_avail_bytes{{{STUDIO}, mountpoint="/", fstype="ext4"}}': "11x20",
    f'node_filesystem_size_bytes{{{STUDIO}, mountpoint="/run", fstype="tmpfs"}}': "100x20",
    f'node_filesystem_avail_bytes{{{STUDIO}, mountpoint="/run", fstype="tmpfs"}}': "0x20",
    # the proxy's own CA: twelve hours, of which a third is left
    f"samstudio_certificate_begin_timestamp_seconds{{{CERTIFICATE}}}": "-25200x20",
    f"samstudio_certificate_end_timestamp_seconds{{{CERTIFICATE}}}": "18000x20",
    f"samstudio_backup_failed{{{STUDIO}}}": "0x20",
    f"samstudio_rehearsal_failed{{{STUDIO}}}": "0x20",
    f"samstudio_backup_last_good_timestamp_seconds{{{STUDIO}}}": f"{-1 * DAY}x20",
    f"samstudio_rehearsal_last_good_timestamp_seconds{{{STUDIO}}}": f"{-8 * DAY}x20",
    f"samstudio_backups_scheduled_since_timestamp_seconds{{{STUDIO}}}": f"{-300 * DAY}x20",
}


#: (alert, what is otherwise: the beginning of a series, and its values or None where it is not there)
FAULTS: list[tuple[str, dict[str, str | None]]] = [
    ("BackendDown", {'up{job="sam2_backend"': "0x20"}),
    ("BackendDown", {"sam2_ready": "0x20"}),
    ("LabelStudioDown", {"samstudio_label_studio_up": "0x20"}),
    ("DatabaseDown", {"pg_up": "0x20"}),
    ("ClickFailed", {"samstudio_click_right": "0x20"}),
    ("ClickProbeStale", {TEXTFILE % (STUDIO, "samstudio"): "0x20"}),
    ("ClickProbeStale", {TEXTFILE % (STUDIO, "samstudio"): None}),
    ("ClickSlow", {"samstudio_click_median_seconds": "2.5x20"}),
    ("GpuGone", {"samstudio_gpu_up": "0x20"}),
    ("GpuGone", {TEXTFILE % (GPU, "gpus"): "0x20"}),
    ("SlowerPrecision", {"sam2_precision_refused": "1x20"}),
    ("DiskNearlyFull", {'node_filesystem_avail_bytes{instance="studio", mountpoint="/",': "9x20"}),
    ("CertificateEnds", {"samstudio_certificate_end": "6000x20"}),
    (
        "CertificateEnds",
        {"samstudio_certificate_end": f"{13 * DAY}x20", "samstudio_certificate_begin": f"{-350 * DAY}x20"},
    ),
    ("CertificateEnds", {"samstudio_certificate_end": "0x20", "samstudio_certificate_begin": "0x20"}),
    ("BackupFailed", {"samstudio_backup_failed": "1x20"}),
    ("BackupTooOld", {"samstudio_backup_last_good": f"{-2 * DAY}x20"}),
    ("RehearsalFailed", {"samstudio_rehearsal_failed": "1x20"}),
    ("RehearsalTooOld", {"samstudio_rehearsal_last_good": f"{-14 * DAY}x20"}),
    ("ExporterDown", {'up{job="node"': "0x20"}),
]
#: what looks like a fault and is none
PEACE: list[dict[str, str | None]] = [
    {},
    # one probe that failed, one restart
    {"samstudio_click_right": "1x12 0x1 1x20", 'up{job="sam2_backend"': "1x12 0 1x20"},
    {"samstudio_certificate_end": f"{60 * DAY}x20", "samstudio_certificate_begin": f"{-350 * DAY}x20"},
    {"samstudio_certificate_end": f"{13 * DAY}x20", "samstudio_certificate_begin": f"{-10 * DAY}x20"},
    # a timer since an hour, and its first night still to come
    {
        "samstudio_backup_last_good": f"{-400 * DAY}x20",
        "samstudio_rehearsal_last_good": f"{-400 * DAY}x20",
        "samstudio_backups_scheduled_since": "-3600x20",
    },
]
#: nothing was ever backed up, and no timer was asked for; three days, for a moment in 1970 is not old enough
NEVER = {
    f"samstudio_backup_last_good_timestamp_seconds{{{STUDIO}}}": "0x1100",
    f"samstudio_rehearsal_last_good_timestamp_seconds{{{STUDIO}}}": "0x1100",
    f"samstudio_backups_scheduled_since_timestamp_seconds{{{STUDIO}}}": "0x1100",
    TEXTFILE % (STUDIO, "samstudio"): "0+240x1100",
}


def otherwise(change: dict[str, str | None]) -> dict[str, str]:
    """The series of a host on which all is well but for that."""
    series: dict[str, str | None] = dict(WELL)
    for beginning, values in change.items():
        (one,) = [each for each in WELL if each.startswith(beginning)]
        series[one] = values
    return {name: values for name, values in series.items() if values is not None}


def case(series: dict[str, str], fires: set[str], *, interval: str = "1m", at: str = "15m") -> dict[str, Any]:
    """A test of promtool's: these alerts fire then, and no other."""
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(fires)]
    return {
        "interval": interval,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": 'count by (alertname) (ALERTS{alertstate="firing"})', "eval_time": at, "exp_samples": expected}
        ],
    }


CASES = [
    *(case(otherwise(change), {alert}) for alert, change in FAULTS),
    *(case(otherwise(each), set()) for each in PEACE),
]


def judge(folder: Path, cases: list[dict[str, Any]], every: str = "1m") -> subprocess.CompletedProcess[str]:
    """Promtool's tests of the role's own rules."""
    assert cases, "promtool is content with a file without tests"
    file = folder / "test.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": every, "tests": cases}))
    return promtool("test", "rules", str(file))


def test_each_alert_fires_by_its_fault_and_no_other_does(tmp_path: Path) -> None:
    judged = judge(tmp_path, CASES)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert {alert for alert, _ in FAULTS} == set(ALERTS)


def test_promtool_tells_an_alert_that_does_not_fire_and_one_that_should_not(tmp_path: Path) -> None:
    for series, fires in ((otherwise({}), {"BackendDown"}), (otherwise({"pg_up": "0x20"}), set())):
        judged = judge(tmp_path, [case(series, fires)])
        assert judged.returncode == 1
        assert "FAILED" in judged.stdout + judged.stderr


def test_what_was_never_backed_up_is_an_alert_and_no_rehearsal_is_expected(tmp_path: Path) -> None:
    judged = judge(tmp_path, [case(NEVER, {"BackupTooOld"}, interval="4m", at="72h")], every="1h")
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    judged = promtool("check", "rules", "--lint-fatal", str(RULES))
    assert (judged.returncode, f"{len(ALERTS)} rules found" in judged.stdout) == (0, True), judged.stderr
    broken = tmp_path / "rules.yml"
    broken.write_text(RULES.read_text().replace("samstudio_label_studio_up == 0", "samstudio_label_studio_up == ="))
    assert promtool("check", "rules", str(broken)).returncode == 1


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_to_type_and_where_more_is_written(alert: str) -> None:
    runbook = ALERTS[alert]["annotations"]["runbook"]
    typed, _, place = runbook.partition(" docs/monitoring.md#")
    assert place == alert.lower()
    page = (ROOT / "docs" / "monitoring.md").read_text()
    assert f"### {alert}\n" in page
    commands = re.findall(r"(?:sudo|[.]/)\s?samstudio [^;.]*?(?= says| shows|;|[.]|$)", typed)
    for command in commands:
        parse(command.strip())
    assert commands or re.search(r"\b(systemctl|docker|nvidia-smi|du) ", typed)
    assert ALERTS[alert]["labels"]["severity"] in ("critical", "warning")
