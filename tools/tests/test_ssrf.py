from __future__ import annotations

import ipaddress
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samstudio import ssrf
from samstudio.labelstudio import deployed_guard

from tools.tests import label_studio

BANNED = [ipaddress.ip_network(text) for text in ssrf.KNOWN]


def addresses_in(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> st.SearchStrategy[str]:
    first = int(network.network_address)
    return st.integers(first, int(network.broadcast_address)).map(lambda number: str(type(network[0])(number)))


banned_addresses = st.sampled_from(BANNED).flatmap(addresses_in)
any_addresses = st.one_of(st.ip_addresses().map(str), banned_addresses)


def is_banned(networks: list[str], address: str) -> bool:
    """As Label Studio's `validate_ip` decides."""
    return any(ipaddress.ip_address(address) in ipaddress.ip_network(network) for network in networks)


@given(st.lists(any_addresses, max_size=4), any_addresses)
def test_the_exemption_admits_the_backends_and_nothing_else(backends: list[str], address: str) -> None:
    networks = ssrf.exempt(ssrf.KNOWN, backends)
    expected = is_banned(list(ssrf.KNOWN), address) and address not in backends
    assert is_banned(networks, address) == expected
    assert not any(is_banned(networks, backend) for backend in backends)


@given(banned_addresses)
def test_the_neighbours_of_a_backend_stay_banned(backend: str) -> None:
    networks = ssrf.exempt(ssrf.KNOWN, [backend])
    for step in (-1, 1):
        ip = ipaddress.ip_address(backend)
        if 0 <= int(ip) + step < 2**ip.max_prefixlen:
            neighbour = str(ip + step)
            assert is_banned(networks, neighbour) == is_banned(list(ssrf.KNOWN), neighbour)


@given(st.lists(any_addresses, max_size=3), st.sampled_from([4, 6]))
def test_as_many_addresses_leave_the_list_as_there_are_backends(backends: list[str], version: int) -> None:
    def size(networks: list[str]) -> int:
        parsed = [network for text in networks if (network := ipaddress.ip_network(text)).version == version]
        return sum(network.num_addresses for network in ipaddress.collapse_addresses(parsed))  # type: ignore[type-var, misc]

    opened = {text for text in backends if ipaddress.ip_address(text).version == version}
    opened = {text for text in opened if is_banned(list(ssrf.KNOWN), text)}
    assert size(list(ssrf.KNOWN)) - size(ssrf.exempt(ssrf.KNOWN, backends)) == len(opened)


def test_a_network_may_be_opened_and_an_address_in_it_as_well() -> None:
    networks = ssrf.exempt(ssrf.KNOWN, ["172.30.9.20", "172.30.9.0/24"])
    assert not is_banned(networks, "172.30.9.77")
    assert is_banned(networks, "172.30.10.1")


@pytest.mark.parametrize("allowed", ["0.0.0.0/0", "192.0.0.0/16", "sam2-backend", "172.30.9.20:9090", ""])
def test_what_is_no_backend_is_refused(allowed: str) -> None:
    with pytest.raises(ValueError, match=r"swallows|no IP address"):
        ssrf.exempt(ssrf.KNOWN, [allowed])


def test_untouched_entries_keep_their_order() -> None:
    networks = ssrf.exempt(["10.0.0.0/8", "192.168.0.0/30", "::1/128"], ["192.168.0.2"])
    assert networks == ["10.0.0.0/8", "192.168.0.0/31", "192.168.0.3/32", "::1/128"]


def test_a_difference_is_named_and_spelling_is_none() -> None:
    assert not ssrf.compare(["2001:0000::/32"], ["2001::/32"])
    difference = ssrf.compare(["10.0.0.0/8"], ["11.0.0.0/8"])
    assert "added 11.0.0.0/8; removed 10.0.0.0/8" in difference.sentence("1.24.0")


@pytest.mark.integration
def test_the_known_list_is_the_deployed_one() -> None:
    deployed = deployed_guard.read(python=label_studio.python())
    assert deployed.default is not None
    assert deployed.version == ssrf.KNOWN_VERSION
    assert deployed.default == ssrf.KNOWN


def test_the_report_says_what_is_refused_and_what_to_set() -> None:
    deployed = ssrf.DeployedGuard("1.23.2", ssrf.KNOWN, {})
    report = deployed_guard.report(deployed, ["172.30.9.20"])
    assert report["addresses"] == [{"address": "172.30.9.20", "blocked_by": ["172.16.0.0/12"]}]
    mended = ssrf.DeployedGuard("1.23.2", ssrf.KNOWN, report["wanted"])
    assert deployed_guard.report(mended, ["172.30.9.20"])["addresses"][0]["blocked_by"] == []
    assert deployed_guard.report(mended, ["172.30.9.20"])["narrow"]
    assert not deployed_guard.report(mended, ["172.30.9.21"])["narrow"]
    broad = ssrf.DeployedGuard("1.23.2", ssrf.KNOWN, ssrf.broad_environment())
    assert not deployed_guard.report(broad, ["172.30.9.20"])["narrow"]


def test_ansibles_own_python_needs_nothing_else(tmp_path: Path) -> None:
    code = "import samstudio.ssrf, samstudio.addresses, sys; print('site' in sys.modules, 'yaml' in sys.modules)"
    ran = subprocess.run(
        ["/usr/bin/env", "python3", "-S", "-c", code],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == ["False", "False"]
