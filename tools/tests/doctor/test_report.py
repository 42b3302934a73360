"""What the doctor says is complete, current, fit to be pasted into an issue, and told by its exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from samstudio.doctor.docs import code, page
from samstudio.doctor.links import CAUSES, CHAIN, MENDED_BY_FIX
from samstudio.redact import HIDDEN, redact
from samstudio.tunnel.failures import FAILURES

from tools.tests.doctor import test_base_image, test_causes, test_certificate, test_containers, test_fleet, test_host
from tools.tests.doctor.produced import MENDED, PRODUCED
from tools.tests.doctor.rows import ROWS

DOCS = Path(__file__).parents[3] / "docs" / "troubleshooting.md"


def test_every_cause_is_produced() -> None:
    """By a row, which runs against a running Label Studio, or by a test of these modules, which has to give it.

    What ngrok says is gone through in full by `tunnel/test_failures.py`.
    """
    modules = (test_base_image, test_certificate, test_containers, test_fleet, test_host)
    assert {each.__name__ for each in modules} <= set(sys.modules)
    produced = {row.cause for row in ROWS} | PRODUCED
    assert {cause.id for cause in CAUSES} - produced == {cause.id for cause in FAILURES} - produced
    assert produced <= {cause.id for cause in CAUSES}


def test_a_cause_belongs_to_one_link() -> None:
    assert len({cause.id for cause in CAUSES}) == len(CAUSES)
    assert len({link.name for link in CHAIN}) == len(CHAIN)


def test_a_link_needs_what_was_looked_at_before_it() -> None:
    for position, link in enumerate(CHAIN):
        assert set(link.needs) <= {earlier.name for earlier in CHAIN[:position]}, link.name


def test_what_fix_mends_was_seen_mended_and_nothing_else() -> None:
    assert test_causes.__name__ in sys.modules
    assert {cause.id for cause in MENDED_BY_FIX} == {row.cause for row in ROWS if row.mends} | MENDED


def test_no_mend_replaces_a_labeling_config() -> None:
    assert [cause.id for cause in CAUSES if "--set-config" in cause.fix] == []


def test_the_troubleshooting_page_leads_from_each_message_to_its_cause() -> None:
    index = {line for line in page().splitlines() if line.startswith("| ")}
    for cause in CAUSES:
        assert f"### {cause.id}" in page().splitlines()
        for text in cause.texts:
            assert any(line.startswith(f"| {code(text)} |") and f"(#{cause.id})" in line for line in index), text


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
