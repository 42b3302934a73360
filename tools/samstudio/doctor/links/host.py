"""The machine: its tunnel, clock, disk and GPU."""

from __future__ import annotations

import shutil
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import httpx

from samstudio.causes import Cause, recognise
from samstudio.doctor.link import Known, Link, Result, Status, broken, ok, skipped, warning
from samstudio.doctor.pair import Pair
from samstudio.doctor.probes import nvidia_smi
from samstudio.labelstudio import http_client
from samstudio.tunnel.failures import FAILURES
from samstudio.tunnel.state import read_state

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
#: Access tokens live five minutes; beyond a minute of skew their edges start to show.
SKEW_SECONDS = 60
GIB = 1 << 30
FREE_WARN, FREE_FAIL = 10 * GIB, GIB
ENDPOINT_OFFLINE = next(cause for cause in FAILURES if cause.id == "tunnel-3200")

CLOCK_SKEW = Cause(
    "clock-skew",
    ("The token is not yet valid", "Token is invalid or expired"),
    "The clocks of this machine and {who} differ by {seconds} s; tokens live by the clock.",
    "timedatectl set-ntp true (on both)",
)
DISK_FULL = Cause(
    "disk-full",
    ("No space left on device", "database or disk is full"),
    "{path} has {free} free.",
    "docker system df; remove what you do not need, or move /var/lib/samstudio to a larger disk",
)
GPU_BROKEN = Cause(
    "gpu-driver-broken",
    ("Driver/library version mismatch", "NVIDIA-SMI has failed"),
    "The NVIDIA driver does not answer: {said}.",
    "reboot; if it stays: ./samstudio deploy",
)
GPU_UNUSED = Cause(
    "gpu-unused",
    (),
    "This machine has {gpu} (driver {driver}), but the backend computes on {device} (torch {torch}).",
    "./samstudio deploy, which installs the container toolkit and the matching torch",
)


def check_tunnel(pair: Pair, _: Known) -> Result:
    """The public address of the tunnel that runs here leads to the backend."""
    state = read_state(pair.tunnel_state)
    if state is None:
        return skipped("no tunnel is open here")
    if not state.is_kept:
        return broken(ENDPOINT_OFFLINE, f"the process that kept {state.url} is gone", url=state.url)
    try:
        answer = httpx.get(f"{state.url}/health", timeout=TIMEOUT, headers={"User-Agent": "heartex/doctor"})
    except httpx.HTTPError as error:
        return ok(f"open at {state.url}; this machine cannot reach it itself ({type(error).__name__})")
    if '"status"' not in answer.text:
        cause = recognise(answer.text, FAILURES) or ENDPOINT_OFFLINE
        return broken(cause, f"{answer.status_code} from {state.url}/health", url=state.url)
    return ok(f"open at {state.url}")


def check_clock(pair: Pair, _: Known) -> Result:
    """This machine's clock, Label Studio's and the backend's agree."""
    skews = {}
    for who, url in (("Label Studio", f"{pair.label_studio}/health/"), ("the backend", f"{pair.backend}/health")):
        try:
            with http_client(url, timeout=TIMEOUT) as client:
                date = client.get("").headers.get("date")
        except httpx.HTTPError:
            continue
        if date:
            skews[who] = abs((datetime.now(timezone.utc) - parsedate_to_datetime(date)).total_seconds())
    if not skews:
        return skipped("neither side says what time it is")
    who, skew = max(skews.items(), key=lambda item: item[1])
    if skew > SKEW_SECONDS:
        return warning(CLOCK_SKEW, f"{who}: {skew:.0f} s", who=who, seconds=f"{skew:.0f}")
    return ok(f"within {skew:.0f} s")


def check_disk(pair: Pair, _: Known) -> Result:
    """Room for images, embeddings and the database."""
    path = next(folder for folder in (pair.data, *pair.data.parents) if folder.exists())
    free = shutil.disk_usage(path).free
    shown = f"{free / GIB:.1f} GiB"
    if free < FREE_WARN:
        status = Status.FAIL if free < FREE_FAIL else Status.WARN
        return Result(status, f"{path}: {shown}", DISK_FULL, {"path": path, "free": shown})
    return ok(f"{shown} free at {path}")


def check_gpu(_: Pair, known: Known) -> Result:
    """The driver works, and a GPU that is here is used."""
    found = nvidia_smi()
    device = str((known.status.get("engine") or {}).get("device", "unknown"))
    if found.said:
        return warning(GPU_BROKEN, found.said, said=found.said.splitlines()[0])
    if not found.gpu:
        return ok(f"no NVIDIA GPU here; the backend computes on {device}")
    seen = f"{found.gpu}, driver {found.driver}"
    if device == "cpu":
        torch = (known.status.get("versions") or {}).get("torch", "unknown")
        evidence = f"nvidia-smi: {seen}; backend: {device}, torch {torch}"
        return warning(GPU_UNUSED, evidence, gpu=found.gpu, driver=found.driver, device=device, torch=torch)
    return ok(f"{seen}; the backend computes on {device}")


TUNNEL = Link("tunnel", check_tunnel, causes=FAILURES)
CLOCK = Link("clock", check_clock, needs=("backend", "label-studio"), causes=(CLOCK_SKEW,))
DISK = Link("disk", check_disk, causes=(DISK_FULL,))
GPU = Link("gpu", check_gpu, causes=(GPU_BROKEN, GPU_UNUSED))
