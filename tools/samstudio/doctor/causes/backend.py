"""The backend: ready, itself, and guarded by a password."""

from __future__ import annotations

from samstudio.doctor.cause import Cause

BACKEND_LOADING = Cause(
    "backend-loading", "backend",
    ("503 Server Error", '"status": "LOADING"'),
    "The backend is still loading its model.",
    "wait; follow it with: docker logs -f {container}",
)  # fmt: skip
CUDA_MISSING = Cause(
    "cuda-missing", "backend",
    ("Found no NVIDIA driver on your system", "Torch not compiled with CUDA enabled", "No CUDA GPUs are available",
     "CUDA is not available", "could not select device driver", "DEVICE=cuda…finds no GPU"),
    "The backend was told to use CUDA and sees no NVIDIA GPU.",
    "nvidia-smi; then ./samstudio deploy, or DEVICE=cpu for the backend",
)  # fmt: skip
DRIVER_OLD = Cause(
    "driver-too-old", "backend",
    ("The NVIDIA driver on your system is too old", "CUDA driver version is insufficient"),
    "The NVIDIA driver is too old for the backend's torch (driver {driver}, torch {torch}; CUDA 13 needs 580).",
    "./samstudio deploy, which picks driver and torch together; or install driver 580 or later and reboot",
)  # fmt: skip
CHECKPOINT_MISSING = Cause(
    "checkpoint-missing", "backend",
    ("MODEL_CHECKPOINT=…there is no file", "checkpoint … not found", "checkpoint … does not exist",
     "checkpoint … No such file or directory", "No such file or directory: … .pt"),
    "The model's checkpoint is not where the backend looks for it.",
    "./samstudio deploy; by hand: put the file there, or correct MODEL_CHECKPOINT",
)  # fmt: skip
GPU_MEMORY = Cause(
    "gpu-memory", "backend", ("CUDA out of memory", "CUDA error: out of memory"),
    "The model does not fit into the GPU's free memory.",
    "nvidia-smi; free the GPU, or choose a smaller model",
)  # fmt: skip
BACKEND_FAILED = Cause(
    "backend-failed", "backend", ('"status": "FAILED"',),
    "The backend runs but could not load its model: {reason}.",
    "docker logs --tail 50 {container}",
)  # fmt: skip
NOT_A_BACKEND = Cause(
    "not-a-backend", "backend",
    ("it doesn't look like a valid ML backend", "404 Client Error: … for url: …/setup",
     "404 Client Error: … for url: …/health", "405 Client Error", "Expecting value: line 1 column 1"),
    "Something answers on {host}:{port}, but it is no ML backend: {found}.",
    "see what listens: ss -ltnp 'sport = :{port}'; then free the port or give the backend another one",
)  # fmt: skip
HEALTH_SLOW = Cause(
    "health-slow", "backend",
    ("Read timed out. (read timeout=1.0)", "Read timed out"),
    "/health took {milliseconds} ms; Label Studio gives it 1 s and calls the backend disconnected after that.",
    "docker stats {container}; the machine is overloaded, or the backend answers /health only between images",
)  # fmt: skip
BACKEND_AUTH_MISSING = Cause(
    "backend-auth-missing", "backend-auth",
    ("authentication parameters were either not provided or are incorrect",),
    "The backend wants basic auth, and there is no password to give it.",
    "samstudio secrets ensure; by hand: samstudio doctor --backend-user USER --password-file FILE",
)  # fmt: skip
BACKEND_AUTH_WRONG = Cause(
    "backend-auth-wrong", "backend-auth",
    ("401 Client Error: … for url: …/setup", "401 Client Error: … for url: …/predict",
     "authentication parameters were either not provided or are"),
    "The backend refuses the basic auth of {who}: user or password are not those it was started with.",
    "name the user and the password that the backend was started with (--backend-user, --password-file): {register}",
    mends=True,
)  # fmt: skip
BACKEND_OPEN = Cause(
    "backend-open", "backend-auth", (),
    "The backend at {url} answers without credentials, and not only to this machine.",
    "set BASIC_AUTH_USER and BASIC_AUTH_PASS_FILE on the backend, then: {register}",
)  # fmt: skip
