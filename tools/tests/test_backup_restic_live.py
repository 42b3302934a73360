"""A snapshot of a restic repository takes the place of what a running container has."""

from __future__ import annotations

from pathlib import Path

import pytest
from samstudio.backup.restic import FETCHED, STAGING

from tools.tests import deployed
from tools.tests.commands import invoke
from tools.tests.test_backup_killed import become, on_disk, shown
from tools.tests.test_backup_killed import host as host
from tools.tests.test_backup_restic import back_up, options
from tools.tests.test_backup_restic import repository as repository

pytestmark = pytest.mark.integration


def test_a_snapshot_becomes_live(host: deployed.Host, repository: Path) -> None:
    """The container answers and is no more of a Label Studio: with no token to hand on, something is left to do."""
    become(host, "one")
    back_up(host.config, repository)
    become(host, "two")
    code, told = invoke(host.config, "restore", "latest", *options(repository, "--from"), "--yes")
    assert (code, told["restored"]) == (1, True)
    assert shown(host) == on_disk(host) == "one"
    assert not {STAGING, FETCHED} & {path.name for path in host.data.parent.iterdir()}
