"""The machine: tunnel, clock, disk, GPU."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

import httpx

from samstudio.doctor.cause import recognise
from samstudio.doctor.causes.host import CLOCK, DISK, GPU_BROKEN, GPU_UNUSED
from samstudio.doctor.finding import Blame, Skip, Status
from samstudio.doctor.patient import Examination
from samstudio.labelstudio import http_client
from samstudio.tunnel.failures import FAILURES
from samstudio.tunnel.state import read_state

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
#: Access tokens live five minutes; beyond a minute of skew their edges start to show.
SKEW_SECONDS = 60
GIB = 1 << 30
FREE_WARN, FREE_FAIL = 10 * GIB, GIB


def tunnel(x: Examination) -> str:
    """The public address of the tunnel that runs here leads to the backend."""
    state = read_state(x.patient.tunnel_state)
    if state is None:
        raise Skip("no tunnel is open here")
    try:
        answer = httpx.get(f"{state.url}/health", timeout=TIMEOUT, headers={"User-Agent": "heartex/doctor"})
    except httpx.HTTPError as error:
        return f"open at {state.url}; this machine cannot reach it itself ({type(error).__name__})"
    if '"status"' not in answer.text:
        cause = recognise(answer.text, FAILURES) or next(c for c in FAILURES if c.id == "tunnel-3200")
        raise Blame(cause, f"{answer.status_code} from {state.url}/health", url=state.url)
    return f"open at {state.url}"


def clock(x: Examination) -> str:
    """This machine's clock, Label Studio's and the backend's agree."""
    skews = {}
    for who, url in (
        ("Label Studio", f"{x.patient.label_studio}/health/"),
        ("the backend", f"{x.patient.backend}/health"),
    ):
        try:
            with http_client(url, timeout=TIMEOUT) as client:
                date = client.get("").headers.get("date")
        except httpx.HTTPError:
            continue
        if date:
            skews[who] = abs((datetime.now(timezone.utc) - parsedate_to_datetime(date)).total_seconds())
    if not skews:
        raise Skip("neither side says what time it is")
    who = max(skews, key=lambda name: skews[name])
    if skews[who] > SKEW_SECONDS:
        raise Blame(CLOCK, f"{who}: {skews[who]:.0f} s", status=Status.WARN, who=who, seconds=f"{skews[who]:.0f}")
    return f"within {max(skews.values()):.0f} s"


def disk(x: Examination) -> str:
    """Room for images, embeddings and the database."""
    path = next(folder for folder in (x.patient.data, *x.patient.data.parents) if folder.exists())
    free = shutil.disk_usage(path).free
    told = f"{free / GIB:.1f} GiB"
    if free < FREE_WARN:
        status = Status.FAIL if free < FREE_FAIL else Status.WARN
        raise Blame(DISK, f"{path}: {told}", status=status, path=path, free=told)
    return f"{told} free at {path}"


@dataclass(frozen=True)
class Nvidia:
    """What nvidia-smi says; ``said`` is its complaint."""

    gpu: str = ""
    driver: str = ""
    said: str = ""


def nvidia_smi() -> Nvidia:
    argv = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        ran = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return Nvidia()
    if ran.returncode or "," not in ran.stdout:
        return Nvidia(said=(ran.stdout + ran.stderr).strip() or f"exit code {ran.returncode}")
    gpu, driver = ran.stdout.splitlines()[0].rsplit(",", 1)
    return Nvidia(gpu.strip(), driver.strip())


def gpu(x: Examination) -> str:
    """The driver works, and a GPU that is here is used."""
    found = nvidia_smi()
    engine, versions = x.status.get("engine", {}), x.status.get("versions", {})
    device = str(engine.get("device", "unknown"))
    if found.said:
        raise Blame(GPU_BROKEN, found.said, said=found.said.splitlines()[0], status=Status.WARN)
    if not found.gpu:
        return f"no NVIDIA GPU here; the backend computes on {device}"
    torch = versions.get("torch", "unknown")
    if device == "cpu":
        raise Blame(
            GPU_UNUSED,
            f"nvidia-smi: {found.gpu}, driver {found.driver}; backend: {device}, torch {torch}",
            status=Status.WARN,
            gpu=found.gpu,
            driver=found.driver,
            device=device,
            torch=torch,
        )
    return f"{found.gpu}, driver {found.driver}; the backend computes on {device}"
