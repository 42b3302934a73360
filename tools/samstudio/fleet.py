"""The backends of a fleet: one for each GPU that was chosen on each host, with its names, folder, address and port."""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

#: Of the private network: where the second backend of a host is; the first one has an address of its own.
SECOND_ADDRESS = 51


def backends_of_host(
    gpus: str, workers: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The backends of one host; exactly one without a GPU.

    The first is what a single backend would be, so that a host with one GPU that gets a second one keeps container and
    cache. `name` is how the balancer and people call it: the host's own, with a number where there are several.

    Args:
        gpus: the devices that were chosen, comma-separated, in the order of the backends.
        workers: what is known of the devices: `device`, `name`.
        settings: host, container, cache, port; subnet and address (the first backend's own) on the private network;
            listen, the host's address that the balancer reaches it at, or "" on Label Studio's own host.
    """
    known = {worker["device"]: worker["name"] for worker in workers}
    devices = gpus.split(",")
    return [
        _backend(number, device, known.get(device, ""), len(devices) > 1, settings)
        for number, device in enumerate(devices, start=1)
    ]


def _backend(number: int, device: str, card: str, several: bool, settings: Mapping[str, Any]) -> dict[str, Any]:
    suffix = f"-{number}" if number > 1 else ""
    subnet = ipaddress.ip_network(settings["subnet"])
    address = settings["address"] if number == 1 else str(subnet[SECOND_ADDRESS + number - 2])
    port = int(settings["port"]) + number - 1
    return {
        "name": f"{settings['host']}:{number}" if several else settings["host"],
        "host": settings["host"],
        "container": settings["container"] + suffix,
        "cache": settings["cache"] + suffix,
        "address": address,
        "port": port,
        "reached_at": f"{settings['listen'] or address}:{port}",
        "device": device,
        "card": f"{card} ({device})" if card else device,
    }


#: what deployment.yml tells of a backend
WRITTEN = ("name", "host", "container", "reached_at", "card")


def backends_of_fleet(
    hosts: Sequence[str],
    seen: Sequence[Mapping[str, Any]],
    written: Sequence[Mapping[str, Any]],
    unseen: Mapping[str, str],
) -> list[dict[str, Any]]:
    """The backends of every host, in the order of the hosts.

    Args:
        seen: those of the hosts that this deploy looked at.
        written: those that the last deploy wrote down, which stay for a host that this one leaves out.
        unseen: where the balancer reaches such a host, by name; it has one backend unless it was written down.
    """
    found: list[dict[str, Any]] = []
    for host in hosts:
        backends = [each for each in (*seen, *(written if host in unseen else ())) if each["host"] == host]
        assumed = {
            "name": host,
            "host": host,
            "container": "sam2-backend",
            "reached_at": unseen.get(host, ""),
            "card": "",
        }
        found += [{key: each[key] for key in WRITTEN} for each in backends or [assumed]]
    return found


#: HAProxy multiplies an id by 4096 and keeps 32 bits
MOST_IDS = 2**20


def ids_on_ring(names: Iterable[str]) -> dict[str, int]:
    """Each backend's id in HAProxy, by its name, from 1 on.

    The id decides which tasks are a backend's. HAProxy's own is the place in the list, and all places behind a backend
    that is gone are others'.
    """
    found: dict[str, int] = {}
    for name in sorted(names):
        number = zlib.crc32(name.encode()) % MOST_IDS
        while number + 1 in found.values():
            number = (number + 1) % MOST_IDS
        found[name] = number + 1
    return found
