"""Each cause of the table, produced against a running Label Studio: the doctor must name the true one."""

from __future__ import annotations

import re

import pytest
from samstudio.doctor.chain import examine, first_broken
from samstudio.doctor.finding import Finding, Status
from samstudio.doctor.mend import mend

from tools.tests.doctor.bench import Bench
from tools.tests.doctor.rows import ROWS, Row

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("bench", "row"), [pytest.param(row.setup, row, id=row.name) for row in ROWS], indirect=["bench"]
)
def test_the_doctor_names_the_true_cause(bench: Bench, row: Row) -> None:
    row.sabotage(bench)
    with examine(bench.patient) as x:
        found = _told(x.findings, row)
        assert found.evidence
        assert found.fix
        assert not re.search(r"\{\w+\}", found.why + found.fix)
        did = mend(x) if row.mends else []

    if row.mends:
        assert did
        with examine(bench.patient) as x:
            assert {finding.status for finding in x.findings} <= {Status.OK, Status.SKIPPED}, (did, x.findings)


POINT = '<KeyPoint{0} name="point" toName="img" smart="true">{1}</KeyPoint{0}>'
BOX = '<Rectangle{0} name="box" toName="img" smart="true">{1}</Rectangle{0}>'
BRUSH = '<BrushLabels name="brush" toName="img"><Label value="leaf"/></BrushLabels>'
LEAF = '<Label value="leaf"/>'


@pytest.mark.parametrize(
    "controls",
    [
        pytest.param(BOX.format("Labels", LEAF) + BRUSH, id="a-smart-rectangle-and-a-brush"),
        pytest.param(
            POINT.format("Labels", '<Label value="twig"/>') + BOX.format("Labels", LEAF) + BRUSH,
            id="a-key-point-whose-label-has-no-brush",
        ),
        pytest.param(
            f'<Labels name="label" toName="img">{LEAF}</Labels>'
            + BOX.format("", "")
            + '<Brush name="b" toName="img"/>',
            id="a-plain-smart-rectangle-with-shared-labels",
        ),
    ],
)
def test_a_project_without_a_smart_key_point_is_healthy(bench: Bench, controls: str) -> None:
    bench.config(f'<View><Image name="img" value="$image"/>{controls}</View>')
    with examine(bench.patient) as x:
        assert {finding.status for finding in x.findings} <= {Status.OK, Status.SKIPPED}, x.findings
        assert next(finding for finding in x.findings if finding.link == "click").status is Status.OK
    asked = [body for _, path, body in bench.backend.trouble.seen if path == "/predict"]
    assert asked[-1]["params"]["context"]["result"][0]["type"].startswith("rectangle")


def _told(findings: list[Finding], row: Row) -> Finding:
    told = "\n".join(f"{f.link} {f.status.value} {f.cause} {f.evidence}" for f in findings)
    if row.warns:
        found = next(finding for finding in findings if finding.link == row.link)
        assert (found.status, found.cause) == (Status.WARN, row.cause), told
        return found
    broken = first_broken(findings)
    assert broken is not None, told
    assert (broken.link, broken.cause) == (row.link, row.cause), told
    return broken
