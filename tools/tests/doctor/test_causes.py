"""Each cause of the table, produced against a running Label Studio: the doctor must name the true one."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from samstudio.doctor.link import Result, Status
from samstudio.doctor.links import record
from samstudio.doctor.walk import Finding, Walk, examine

from tools.tests.doctor.bench import PASSWORD, Bench
from tools.tests.doctor.produced import produces
from tools.tests.doctor.rows import ROWS, Row
from tools.tests.servers import free_port

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("bench", "row"), [pytest.param(row.setup, row, id=row.name) for row in ROWS], indirect=["bench"]
)
def test_the_doctor_names_the_true_cause(bench: Bench, row: Row) -> None:
    row.sabotage(bench)
    with Walk(bench.pair) as walk:
        found = _expected(list(walk), row)
        assert found.evidence
        assert found.fix
        assert not re.search(r"\{\w+\}", found.why + found.fix)
        did = walk.mend() if row.mends else []

    if row.mends:
        assert did
        findings = examine(bench.pair)
        assert {finding.status for finding in findings} <= {Status.OK, Status.SKIPPED}, (did, findings)


def test_a_wrong_password_here_is_not_written_into_a_record_that_works(bench: Bench) -> None:
    bench.tell(password="not the backend's")
    with Walk(bench.pair) as walk:
        assert _broken(list(walk)).link == "backend-auth"
        assert walk.mend() == []
    bench.tell(password=PASSWORD)
    assert {finding.status for finding in examine(bench.pair)} <= {Status.OK, Status.SKIPPED}


@produces("localhost-in-container", mends=True)
def test_localhost_in_a_record_means_label_studios_container(bench: Bench) -> Result:
    """The container is told and not there: this link asks Label Studio alone."""
    bench.edit_record(url=f"http://localhost:{free_port()}")
    with Walk(bench.pair) as walk:
        list(walk)
        contained = replace(bench.pair, studio_container="label-studio")
        result = record.check_ml_record(contained, walk.known)
        assert record.mend(contained, walk.known)
    assert {finding.status for finding in examine(bench.pair)} <= {Status.OK, Status.SKIPPED}
    return result


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
    findings = examine(bench.pair)
    assert {finding.status for finding in findings} <= {Status.OK, Status.SKIPPED}, findings
    assert next(finding for finding in findings if finding.link == "click").status is Status.OK
    asked = [body for _, path, body in bench.backend.trouble.seen if path == "/predict"]
    assert asked[-1]["params"]["context"]["result"][0]["type"].startswith("rectangle")


def _expected(findings: list[Finding], row: Row) -> Finding:
    if not row.warns:
        found = _broken(findings)
    else:
        found = next(finding for finding in findings if finding.link == row.link)
        assert found.status is Status.WARN, findings
    assert (found.link, found.cause) == (row.link, row.cause), findings
    return found


def _broken(findings: list[Finding]) -> Finding:
    broken = next((finding for finding in findings if finding.status is Status.FAIL), None)
    assert broken is not None, findings
    return broken
