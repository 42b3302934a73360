"""Each test names the hosts that it is about, instead of running on all of them."""

from __future__ import annotations

import pytest
import testinfra  # type: ignore[import-untyped]
from testinfra.host import Host  # type: ignore[import-untyped]


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Host:
    return testinfra.get_host(f"docker://{request.param}")
