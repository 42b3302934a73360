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
