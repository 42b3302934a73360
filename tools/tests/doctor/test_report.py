"""What the doctor says is complete, current, fit to be pasted into an issue, and told by its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from samstudio.doctor.causes.table import CAUSES
from samstudio.doctor.docs import page
from samstudio.doctor.redact import HIDDEN, redact
from samstudio.tunnel.failures import FAILURES as TUNNEL

from tools.tests.doctor.rows import ROWS
from tools.tests.doctor.test_containers import CONTAINER_CAUSES
from tools.tests.doctor.test_host import HOST_CAUSES

DOCS = Path(__file__).parents[3] / "docs" / "troubleshooting.md"


def test_every_cause_is_produced() -> None:
    produced = {row.cause for row in ROWS} | CONTAINER_CAUSES | HOST_CAUSES | {cause.id for cause in TUNNEL}
    known = {cause.id for cause in CAUSES}
    assert produced == known
    assert len(known) == len(CAUSES)


def test_no_mend_replaces_a_labeling_config() -> None:
    assert [cause.id for cause in CAUSES if "--set-config" in cause.fix] == []


def test_the_troubleshooting_page_is_current() -> None:
    assert DOCS.read_text() == page(), "run: python -m samstudio.doctor.docs > docs/troubleshooting.md"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Authorization: Basic bGFiZWw6cGFzcw==", f"Authorization: {HIDDEN}"),
        ("token eyJhbGciOiJI.eyJ0b2tlbl90.c2lnbmF0dXJl refused", f"token {HIDDEN} refused"),
        ("http://label-studio:pass@10.0.0.7:9090/x", f"http://{HIDDEN}@10.0.0.7:9090/x"),
        ("BASIC_AUTH_PASS=hunter2 DEVICE=cpu", f"BASIC_AUTH_PASS={HIDDEN} DEVICE=cpu"),
        ("'basic_auth_pass': 'hunter2'", f"'basic_auth_pass': '{HIDDEN}'"),
        ("/home/anna/models/x.pt is missing", "~/models/x.pt is missing"),
        ("/root/x and /rooted/x", "~/x and /rooted/x"),
        ("No space left on device", "No space left on device"),
    ],
)
def test_secrets_and_home_folders_are_taken_out(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_known_secrets_are_taken_out_wherever_they_are() -> None:
    assert redact("the s3cret and s3cret-longer", ["s3cret", "s3cret-longer"]) == f"the {HIDDEN} and {HIDDEN}"
