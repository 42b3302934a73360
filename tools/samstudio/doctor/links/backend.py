"""The backend: ready, itself, guarded by a password, and serving the model that was asked for."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import httpx

from samstudio.addresses import normalise
from samstudio.causes import Cause, recognise
from samstudio.doctor.link import Known, Link, Result, broken, ok, skipped, warning
from samstudio.doctor.links.network import DROPPED, HTTPS_TO_HTTP
from samstudio.doctor.pair import Pair
from samstudio.doctor.probes import nvidia_smi
from samstudio.labelstudio import http_client
from samstudio.tunnel.failures import NGROK

#: Label Studio's own: a browser would be shown ngrok's warning page
AGENT = {"User-Agent": "heartex/doctor"}
TIMEOUT = httpx.Timeout(10.0, connect=3.0)
#: What Label Studio gives /health (ML_TIMEOUT_HEALTH), ms.
HEALTH_MILLISECONDS = 1000
#: Precisions of the encoder by the time that it takes, shortest first.
FASTEST_FIRST = ("int8", "f16", "bf16", "f32")

BACKEND_LOADING = Cause(
    "backend-loading",
    ("503 Server Error", '"status": "LOADING"'),
    "The backend is still loading its model.",
    "wait; follow it with: docker logs -f {container}",
)
CUDA_MISSING = Cause(
    "cuda-missing",
    (
        "Found no NVIDIA driver on your system",
        "Torch not compiled with CUDA enabled",
        "No CUDA GPUs are available",
        "CUDA is not available",
        "could not select device driver",
        "DEVICE=cuda…finds no GPU",
    ),
    "The backend was told to use CUDA and sees no NVIDIA GPU.",
    "nvidia-smi; then ./samstudio deploy, or DEVICE=cpu for the backend",
)
DRIVER_OLD = Cause(
    "driver-too-old",
    ("The NVIDIA driver on your system is too old", "CUDA driver version is insufficient"),
    "The NVIDIA driver is too old for the backend's torch (driver {driver}, torch {torch}; CUDA 13 needs 580).",
    "./samstudio deploy, which picks driver and torch together; or install driver 580 or later and reboot",
)
CHECKPOINT_MISSING = Cause(
    "checkpoint-missing",
    (
        "MODEL_CHECKPOINT=…there is no file",
        "checkpoint … not found",
        "checkpoint … does not exist",
        "checkpoint … No such file or directory",
        "No such file or directory: … .pt",
    ),
    "The model's checkpoint is not where the backend looks for it.",
    "./samstudio deploy; by hand: put the file there, or correct MODEL_CHECKPOINT",
)
GPU_MEMORY = Cause(
    "gpu-memory",
    ("CUDA out of memory", "CUDA error: out of memory"),
    "The model does not fit into the GPU's free memory.",
    "nvidia-smi; free the GPU, or choose a smaller model",
)
#: What a backend that failed to load may give as its reason.
SAID_BY_FAILED_BACKEND = (DRIVER_OLD, CUDA_MISSING, CHECKPOINT_MISSING, GPU_MEMORY)
BACKEND_FAILED = Cause(
    "backend-failed",
    ('"status": "FAILED"',),
    "The backend runs but could not load its model: {reason}.",
    "docker logs --tail 50 {container}",
)
NOT_A_BACKEND = Cause(
    "not-a-backend",
    (
        "it doesn't look like a valid ML backend",
        "404 Client Error: … for url: …/setup",
        "404 Client Error: … for url: …/health",
        "405 Client Error",
        "Expecting value: line 1 column 1",
    ),
    "Something answers on {host}:{port}, but it is no ML backend: {found}.",
    "see what listens: ss -ltnp 'sport = :{port}'; then free the port or give the backend another one",
)
HEALTH_SLOW = Cause(
    "health-slow",
    ("Read timed out. (read timeout=1.0)", "Read timed out"),
    "/health took {milliseconds} ms; Label Studio gives it 1 s and calls the backend disconnected after that.",
    "docker stats {container}; the machine is overloaded, or the backend answers /health only between images",
)
BACKEND_AUTH_MISSING = Cause(
    "backend-auth-missing",
    ("authentication parameters were either not provided or are incorrect",),
    "The backend wants basic auth, and there is no password to give it.",
    "samstudio secrets ensure; by hand: samstudio doctor --backend-user USER --password-file FILE",
)
BACKEND_AUTH_WRONG = Cause(
    "backend-auth-wrong",
    (
        "401 Client Error: … for url: …/setup",
        "401 Client Error: … for url: …/predict",
        "authentication parameters were either not provided or are",
    ),
    "The backend refuses the basic auth of {who}: user or password are not those it was started with.",
    "name the user and the password that the backend was started with (--backend-user, --password-file): {register}",
)
BACKEND_OPEN = Cause(
    "backend-open",
    (),
    "The backend at {url} answers without credentials, and not only to this machine.",
    "set BASIC_AUTH_USER and BASIC_AUTH_PASS_FILE on the backend, then: {register}",
)
MODEL_DEMO = Cause(
    "model-demo",
    ("Serving the DEMO model",),
    "The backend serves the demo model, which knows drawn shapes only; on photographs its masks are wrong.",
    "./samstudio deploy -e sam2_backend_model=tiny (or small, base_plus, large); by hand: MODEL_CHECKPOINT",
)
PRECISION_SLOWER = Cause(
    "precision-slower",
    ("is refused: ",),
    "The backend computes in {served}; it was asked for {asked}, which is faster.",
    "docker logs {container} | grep 'is refused', which says why; without need of it: PRECISION=auto",
)


def check_backend(pair: Pair, _: Known) -> Result:
    """GET /health says that a model can predict, soon enough for Label Studio, and in an ML backend's words."""
    answer, milliseconds = _fastest_health(pair)
    if isinstance(answer, httpx.Response) and answer.status_code == httpx.codes.UNAUTHORIZED:
        answer = _get(pair, "/health", known=True)  # label-studio-ml guards /health too
    if isinstance(answer, Result):
        return answer
    health = as_object(answer)
    if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and health.get("status") in ("LOADING", "FAILED"):
        return _not_ready(pair, health)
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        cause = BACKEND_AUTH_WRONG if pair.password else BACKEND_AUTH_MISSING
        return broken(cause, "401 from /health", who="this machine")
    if health.get("status") != "UP" or not {"model", "model_class"} & set(health):
        return _somebody_else(pair, answer)
    if milliseconds > HEALTH_MILLISECONDS:
        return broken(HEALTH_SLOW, f"{milliseconds:.0f} ms", milliseconds=f"{milliseconds:.0f}")
    model = health.get("model") or health.get("model_class")
    return ok(f"ready, {model}, /health in {milliseconds:.0f} ms", health=health)


def _fastest_health(pair: Pair) -> tuple[httpx.Response | Result, float]:
    """GET /health, again when it was slow: Label Studio asks three times before it gives up."""
    for attempt in range(3):
        started = time.perf_counter()
        answer = _get(pair, "/health")
        milliseconds = (time.perf_counter() - started) * 1000
        if isinstance(answer, Result) or milliseconds < HEALTH_MILLISECONDS or attempt == 2:
            break
    return answer, milliseconds


def check_auth(pair: Pair, _: Known) -> Result:
    """Everything but /health wants basic auth, and takes ours."""
    anonymous = _get(pair, "/status")
    if isinstance(anonymous, Result):
        return anonymous
    if anonymous.status_code != httpx.codes.UNAUTHORIZED:
        status = as_object(anonymous)
        if normalise(pair.backend).is_loopback:
            return ok("no basic auth; only this machine reaches it", status=status)
        evidence = f"GET /status without credentials: {anonymous.status_code}"
        return warning(BACKEND_OPEN, evidence, learned={"status": status})
    if not pair.password:
        return broken(BACKEND_AUTH_MISSING, "401 from /status")
    known = _get(pair, "/status", known=True)
    if isinstance(known, Result):
        return known
    if known.status_code == httpx.codes.UNAUTHORIZED:
        return broken(BACKEND_AUTH_WRONG, f"401 from /status for user {pair.user}", who="this machine")
    return ok(f"takes basic auth of {pair.user}", status=as_object(known))


def _get(pair: Pair, path: str, *, known: bool = False) -> httpx.Response | Result:
    """The backend's answer, or why there is none."""
    auth = httpx.BasicAuth(pair.user, pair.password) if known else None
    try:
        with http_client(pair.backend, auth=auth, timeout=TIMEOUT) as client:
            return client.get(path, headers=AGENT)
    except httpx.TimeoutException as error:
        cause = DROPPED if isinstance(error, httpx.ConnectTimeout) else HEALTH_SLOW
        return broken(cause, f"{path}: {type(error).__name__}", who="this machine", milliseconds="more than 10000")
    except httpx.TransportError as error:
        if HTTPS_TO_HTTP.recognises(str(error)):
            return broken(HTTPS_TO_HTTP, error)
        return broken(NOT_A_BACKEND, f"{path}: {error or type(error).__name__}", found="no HTTP")


def _not_ready(pair: Pair, health: dict[str, Any]) -> Result:
    reason = str(health.get("reason") or "no reason given")
    evidence = f"503 from /health: {reason}"
    if health["status"] == "LOADING":
        return broken(BACKEND_LOADING, evidence)
    answer = _get(pair, "/status", known=True)
    versions = as_object(answer).get("versions", {}) if isinstance(answer, httpx.Response) else {}
    return broken(
        recognise(reason, SAID_BY_FAILED_BACKEND) or BACKEND_FAILED,
        evidence,
        reason=reason,
        torch=versions.get("torch", "unknown"),
        driver=nvidia_smi().driver or "none",
    )


def _somebody_else(pair: Pair, answer: httpx.Response) -> Result:
    said = " ".join(answer.text.split())[:200]
    page = recognise(answer.text, (cause for cause in NGROK if cause.id in ("tunnel-6024", "tunnel-3200")))
    if page is not None:
        return broken(page, f"{answer.status_code} from /health: {said}")
    server = answer.headers.get("server", "")
    found = f"HTTP {answer.status_code} from /health" + (f" by {server}" if server else "")
    place = urlsplit(pair.backend)
    return broken(NOT_A_BACKEND, f"{found}: {said}", found=found, host=place.hostname, port=place.port)


def check_model(pair: Pair, known: Known) -> Result:
    """The model is a real one, in the precision that was asked for, as far as /status tells."""
    model, engine = known.status.get("model") or {}, known.status.get("engine") or {}
    if not model:
        return skipped("this backend does not say what it serves")
    served = str(engine.get("precision", "unknown"))
    name = f"{model.get('checkpoint', 'unknown')} in {served}"
    if model.get("demo"):
        return warning(MODEL_DEMO, name)
    asked = (pair.backend_environment() or {}).get("PRECISION", "auto")
    if {asked, served} <= set(FASTEST_FIRST) and FASTEST_FIRST.index(served) > FASTEST_FIRST.index(asked):
        return warning(PRECISION_SLOWER, f"{name}, asked for {asked}", served=served, asked=asked)
    return ok(name)


def as_object(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object in an answer; an empty one for anything else."""
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


BACKEND = Link(
    "backend",
    check_backend,
    needs=("network",),
    causes=(
        BACKEND_LOADING,
        CUDA_MISSING,
        DRIVER_OLD,
        CHECKPOINT_MISSING,
        GPU_MEMORY,
        BACKEND_FAILED,
        NOT_A_BACKEND,
        HEALTH_SLOW,
    ),
)
AUTH = Link(
    "backend-auth",
    check_auth,
    needs=("backend",),
    causes=(BACKEND_AUTH_MISSING, BACKEND_AUTH_WRONG, BACKEND_OPEN),
)
MODEL = Link("model", check_model, needs=("backend-auth",), causes=(MODEL_DEMO, PRECISION_SLOWER))
