"""The troubleshooting table: every cause the doctor can name, in the order of the chain.

`docs/troubleshooting.md` is generated from it (`python -m samstudio.doctor.docs`).
"""

from __future__ import annotations

from samstudio.doctor.cause import Cause
from samstudio.tunnel.failures import FAILURES as TUNNEL

REGISTER = "samstudio register --backend-url {backend_url}"

# --- settings: URLs as they are written down -------------------------------------------------------------------------
URL_WITHOUT_SCHEME = Cause(
    "url-without-scheme", "settings",
    ("gethostbyname() argument 1 must be str, bytes or bytearray, not None", "No scheme supplied",
     "No connection adapters were found for '…:9090/health'"),
    "{url} has no scheme; Label Studio takes it for a URL without a host.",
    REGISTER, mends=True,
)  # fmt: skip
URL_UNUSABLE = Cause(
    "url-unusable", "settings", ("no usable URL",),
    "{url} is no usable URL: {reason}.",
    "write http://HOST:PORT: in /etc/samstudio/deployment.yml, or after --backend and --label-studio",
)  # fmt: skip
LOCALHOST_IN_CONTAINER = Cause(
    "localhost-in-container", "settings",
    ("Can't connect to ML backend http://localhost:9090…Connection refused",),
    "{url} is used inside the container {container}, where {host} is that container and not this machine.",
    REGISTER, mends=True,
)  # fmt: skip

NAME_WITHOUT_DOT = Cause(
    "name-without-dot", "settings", ("Enter a valid URL.",),
    "{host} in {url} has no dot; Label Studio connects to it, but refuses the webhook that belongs to the connection.",
    "give the backend a name with a dot on the container network (sam2-backend.internal), or use its address",
)  # fmt: skip

# --- engine and containers -------------------------------------------------------------------------------------------
ENGINE_DOWN = Cause(
    "engine-down", "engine",
    ("Cannot connect to the Docker daemon", "Error while fetching server API version…No such file or directory"),
    "The container engine does not answer.",
    "systemctl start docker; on a host without systemd: ./samstudio deploy",
)  # fmt: skip
ENGINE_FORBIDDEN = Cause(
    "engine-forbidden", "engine",
    ("permission denied while trying to connect to the Docker daemon socket", "Permission denied"),
    "This user may not talk to the container engine.",
    "sudo samstudio doctor",
)  # fmt: skip
CONTAINER_MISSING = Cause(
    "container-missing", "containers", ("No such container",),
    "There is no container {container}.",
    "./samstudio deploy",
)  # fmt: skip
CONTAINER_STOPPED = Cause(
    "container-stopped", "containers", ("is not running", "Restarting ("),
    "The container {container} is {state} (exit code {code}).",
    "docker logs --tail 50 {container}; docker start {container}",
)  # fmt: skip
CONTAINER_UNHEALTHY = Cause(
    "container-unhealthy", "containers", ("(unhealthy)",),
    "The container {container} runs, but its own health check fails.",
    "docker logs --tail 50 {container}",
)  # fmt: skip

# --- the way to the backend, seen from here or by Label Studio -------------------------------------------------------
PROXY = Cause(
    "proxy", "network",
    ("ProxyError", "Unable to connect to proxy", "Tunnel connection failed", "407 Proxy Authentication Required"),
    "{who} sends local traffic to the proxy {proxy}: NO_PROXY does not name {host}.",
    "add {host} to NO_PROXY in {who}'s environment, then restart it",
)  # fmt: skip
HTTPS_TO_HTTP = Cause(
    "https-to-http", "network",
    ("[SSL: WRONG_VERSION_NUMBER]", "[SSL] record layer failure", "packet length too long"),
    "{url} is https://, but plain http answers there.",
    REGISTER, mends=True,
)  # fmt: skip
NAME_UNKNOWN = Cause(
    "name-unknown", "network",
    ("Name or service not known", "Failed to resolve", "Temporary failure in name resolution",
     "Can't resolve hostname"),
    "{who} cannot resolve the name {host}; names of containers exist only on their container network.",
    "use an address that {who} can resolve: samstudio register --backend-url http://ADDRESS:PORT",
)  # fmt: skip
DROPPED = Cause(
    "packets-dropped", "network",
    ("timed out. (connect timeout=", "ConnectTimeout", "[Errno 110] Connection timed out", "No route to host"),
    "{host}:{port} does not even refuse: a firewall drops the packets between {who} and it.",
    "open TCP {port} on {host} for {who}'s address, e.g. ufw allow from ADDRESS to any port {port} proto tcp",
)  # fmt: skip
BACKEND_REFUSED = Cause(
    "backend-refused", "network",
    ("[Errno 111] Connection refused", "Can't connect to ML backend … health check failed"),
    "Nothing listens on {host}:{port}, seen from {who}: the backend is down, or has another port.",
    "docker start {container}; without containers: start the backend, or name its port: samstudio doctor --backend URL",
)  # fmt: skip

# --- backend ---------------------------------------------------------------------------------------------------------
BACKEND_LOADING = Cause(
    "backend-loading", "backend",
    ("503 Server Error", '"status": "LOADING"'),
    "The backend is still loading its model.",
    "wait; follow it with: docker logs -f {container}",
)  # fmt: skip
CUDA_MISSING = Cause(
    "cuda-missing", "backend",
    ("Found no NVIDIA driver on your system", "Torch not compiled with CUDA enabled", "No CUDA GPUs are available",
     "CUDA is not available", "could not select device driver"),
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
    ("checkpoint … not found", "checkpoint … does not exist", "checkpoint … No such file or directory",
     "No such file or directory: … .pt"),
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
    ("it doesn't look like a valid ML backend", "404 Client Error: Not Found for url: …/setup",
     "405 Client Error", "Expecting value: line 1 column 1"),
    "Something answers on {host}:{port}, but it is no ML backend: {found}.",
    "see what listens: ss -ltnp 'sport = :{port}'; then free the port or give the backend another one",
)  # fmt: skip
HEALTH_SLOW = Cause(
    "health-slow", "backend",
    ("Read timed out. (read timeout=1.0)", "Read timed out"),
    "/health took {milliseconds} ms; Label Studio gives it 1 s and calls the backend disconnected after that.",
    "docker stats {container}; the machine is overloaded, or the backend answers /health only between images",
)  # fmt: skip

# --- backend-auth ----------------------------------------------------------------------------------------------------
BACKEND_AUTH_MISSING = Cause(
    "backend-auth-missing", "backend-auth",
    ("authentication parameters were either not provided or are incorrect",),
    "The backend wants basic auth, and there is no password to give it.",
    "samstudio secrets ensure; by hand: samstudio doctor --backend-user USER --backend-password-file FILE",
)  # fmt: skip
BACKEND_AUTH_WRONG = Cause(
    "backend-auth-wrong", "backend-auth",
    ("401 Client Error: Unauthorized for url: …/setup", "authentication parameters were either not provided or are"),
    "The backend refuses the basic auth of {who}: user or password are not those it was started with.",
    REGISTER + " (it writes the password again); or restart the backend with the right one", mends=True,
)  # fmt: skip
BACKEND_OPEN = Cause(
    "backend-open", "backend-auth", (),
    "The backend at {url} answers without credentials, and not only to this machine.",
    "set BASIC_AUTH_USER and BASIC_AUTH_PASS_FILE on the backend, then: " + REGISTER,
)  # fmt: skip

# --- label-studio ----------------------------------------------------------------------------------------------------
LABEL_STUDIO_DOWN = Cause(
    "label-studio-down", "label-studio", ("Label Studio does not answer",),
    "Label Studio does not answer at {url}: {reason}.",
    "docker start {studio_container}; without containers: label-studio start",
)  # fmt: skip
NOT_LABEL_STUDIO = Cause(
    "not-label-studio", "label-studio", (),
    "Something answers at {url}, but it is not Label Studio: {found}.",
    "see what listens: ss -ltnp 'sport = :{port}'; then free the port or name Label Studio's own",
)  # fmt: skip
TUNNEL_AUTH = Cause(
    "basic-auth-collides", "label-studio", ('WWW-Authenticate: Basic realm="ngrok"',),
    "{url} asks for HTTP basic auth before Label Studio is reached (on the tunnel, or a reverse proxy); API tokens "
    "travel in the same header, so no program can send both.",
    "take the basic-auth action off Label Studio's tunnel; its own sign-in guards it, or restrict the tunnel by IP",
)  # fmt: skip
VERSION_UNKNOWN = Cause(
    "label-studio-version", "label-studio", (),
    "Label Studio {version} is outside of what this was tested with (1.20 to 1.23).",
    "samstudio ssrf show, and compare; report what breaks",
)  # fmt: skip
HOST_WITHOUT_SCHEME = Cause(
    "host-without-scheme", "label-studio-host",
    ("LABEL_STUDIO_HOST variable found in environment, but it must start with http:// or https://",),
    "LABEL_STUDIO_HOST={host} has no scheme, so Label Studio ignores it and tells backends http://localhost.",
    "set LABEL_STUDIO_HOST={label_studio_url} and restart Label Studio",
)  # fmt: skip
HOST_WRONG = Cause(
    "host-wrong", "label-studio-host", (),
    "LABEL_STUDIO_HOST={host} does not lead to this Label Studio ({reason}); images and links get that address.",
    "set LABEL_STUDIO_HOST={label_studio_url} and restart Label Studio",
)  # fmt: skip

# --- token -----------------------------------------------------------------------------------------------------------
TOKEN_MISSING = Cause(
    "token-missing", "token", ("Secret label_studio_api_token is missing",),
    "There is no API token to ask Label Studio with.",
    "samstudio token ensure; by hand: samstudio doctor --token-file FILE",
)  # fmt: skip
TOKEN_LEGACY_OFF = Cause(
    "token-legacy-off", "token",
    ("legacy token authentication has been disabled for this organization", "401 Unauthorized"),
    "The token is a legacy token, and Label Studio's organisation does not allow those.",
    "use a personal access token (Account & Settings, Personal Access Token), or: samstudio token ensure",
)  # fmt: skip
TOKEN_IS_ACCESS = Cause(
    "token-is-access", "token", ("Token has wrong type", "token_not_valid"),
    "The token is a short-lived access token; what is wanted is the personal access token it was made from.",
    "copy it from Account & Settings, Personal Access Token; or: samstudio token ensure",
)  # fmt: skip
TOKEN_INVALID = Cause(
    "token-invalid", "token",
    ("Token is blacklisted", "Token is invalid or expired", "Invalid token"),
    "Label Studio does not accept the {kind} token: revoked, expired, or of another Label Studio.",
    "samstudio token ensure; by hand: make a new one in Account & Settings",
)  # fmt: skip

# --- ssrf ------------------------------------------------------------------------------------------------------------
GUARD_BLOCKS = Cause(
    "guard-blocks-backend", "ssrf",
    ("URL resolves to a reserved network address (block:",),
    "Label Studio's SSRF guard refuses the backend's address {address} (banned: {blocked_by}).",
    "samstudio ssrf show --address {address}; then ./samstudio deploy, or set what it prints for Label Studio",
)  # fmt: skip
GUARD_BLOCKS_WEBHOOK = Cause(
    "guard-blocks-webhook", "ssrf",
    ("URL resolves to a reserved network address (block:",),
    "ML_BLOCK_LOCAL_IP=false lifted one guard of two: saving an ML backend also saves a webhook, and "
    "SSRF_PROTECTION_ENABLED still refuses {address} (banned: {blocked_by}).",
    "samstudio ssrf show --address {address}; set what it prints for Label Studio and restart it",
)  # fmt: skip
GUARD_OFF = Cause(
    "guard-off", "ssrf", (),
    "Label Studio's SSRF guard is off for ML backends and webhooks: whoever may add one can make it call your network.",
    "samstudio ssrf show --address {address}; set what it prints for Label Studio and restart it",
)  # fmt: skip

# --- project ---------------------------------------------------------------------------------------------------------
NO_PROJECT = Cause(
    "no-project", "project", ("There is no project",),
    "There is no project {project} to look at.",
    "samstudio register, or samstudio doctor --project ID",
)  # fmt: skip
CONFIG_NO_IMAGE = Cause(
    "config-no-image", "label-config", ("the labeling config has no <Image>", "label_config: … is not XML"),
    "The labeling config of project {project} has no image: {problem}.",
    "samstudio register --project {project} --set-config",
)  # fmt: skip
CONFIG_NO_SMART = Cause(
    "config-no-smart", "label-config", ("no smart control",),
    "The labeling config of project {project} has no smart control, so a click asks no model.",
    'add smart="true" to a <KeyPointLabels>, or: samstudio register --project {project} --set-config',
)  # fmt: skip
CONFIG_NO_OUTPUT = Cause(
    "config-no-output", "label-config", ("nowhere to put a mask",),
    "The labeling config of project {project} has no control that can hold a mask.",
    'add <BrushLabels name="mask" toName="image">, or: samstudio register --project {project} --set-config',
)  # fmt: skip
CONFIG_LABELS = Cause(
    "config-labels-differ", "label-config", ("the labels do not match",),
    "In the labeling config of project {project} the smart controls and the masks have different labels: {problem}.",
    "give both the same labels, or: samstudio register --project {project} --set-config",
)  # fmt: skip

# --- ml-record -------------------------------------------------------------------------------------------------------
RECORD_MISSING = Cause(
    "record-missing", "ml-record", (),
    "No ML backend is connected to project {project}.",
    "samstudio register --project {project}", mends=True,
)  # fmt: skip
RECORD_URL_WRONG = Cause(
    "record-url-wrong", "ml-record", (),
    "Label Studio is told to find the backend at {url}; it is at {backend_url}.",
    REGISTER, mends=True,
)  # fmt: skip
RECORD_TUNNEL_STALE = Cause(
    "record-tunnel-stale", "ml-record", ("ERR_NGROK_3200", "ERR_NGROK_3004"),
    "Label Studio uses a former address of the tunnel, {url}; now it is {backend_url}.",
    REGISTER, mends=True,
)  # fmt: skip
RECORD_DISCONNECTED = Cause(
    "record-disconnected", "ml-record", ("Disconnected",),
    "Label Studio says {state} of the backend at {url}: {said}.",
    REGISTER, mends=True,
)  # fmt: skip
WEBHOOK = Cause(
    "webhook-stale", "webhook", (),
    "The webhook of project {project} is not the backend's ({found}): new images are not embedded ahead of the click.",
    "samstudio register --project {project}", mends=True,
)  # fmt: skip
INTERACTIVE_OFF = Cause(
    "interactive-off", "interactive",
    ("Model is not set to be used for interactive preannotations",),
    "Interactive preannotations are off for the backend of project {project}, so clicks go nowhere.",
    "samstudio register --project {project}", mends=True,
)  # fmt: skip

# --- image -----------------------------------------------------------------------------------------------------------
NO_TASK = Cause(
    "no-task", "image", (),
    "Project {project} has no task with an image, so there is nothing to click.",
    "samstudio samples draw && samstudio register",
)  # fmt: skip
IMAGE_TOKEN = Cause(
    "image-token-refused", "image",
    ("refused the personal access token", "refused the image (HTTP 401)", "refused the image (HTTP 403)",
     "401 Client Error: Unauthorized for url: …/data/", "…/api/token/refresh/",
     "403 Client Error: Forbidden for url: …/data/"),
    "Label Studio refuses the backend's own token (legacy tokens off, an expired token, or that of another server).",
    "give the backend a personal access token as LABEL_STUDIO_API_KEY; deployed: samstudio token ensure, restart it",
)  # fmt: skip
IMAGE_RELATIVE = Cause(
    "image-no-host", "image",
    ("No connection adapters were found for", "whose address is not known: set LABEL_STUDIO_URL",
     "Invalid URL '/data/…No scheme supplied", "is neither a URL nor a Label Studio path"),
    "The task's image address has no host, and the backend does not know Label Studio's.",
    "set LABEL_STUDIO_URL={label_studio_url} (scheme included) for the backend and restart it",
)  # fmt: skip
IMAGE_LOCAL_FILE = Cause(
    "image-local-files", "image",
    ("The local file … cannot be read", "No such file or directory: '/data/…", "404 …/data/local-files/",
     "Label Studio has no image at /data/local-files"),
    "The image is a local file that is not where the backend or Label Studio look: not mounted, or another "
    "LOCAL_FILES_DOCUMENT_ROOT.",
    "mount one folder into both, LOCAL_FILES_DOCUMENT_ROOT its parent in both; deployed: ./samstudio deploy",
)  # fmt: skip
IMAGE_MISSING = Cause(
    "image-missing", "image",
    ("404 Client Error: Not Found for url: …/data/upload/", "Label Studio has no image at",
     "500 Server Error: …/data/upload/", "404 Client Error"),
    "There is no such image on the server the backend asks: a deleted upload, or LABEL_STUDIO_URL of another server.",
    "open the task in Label Studio; compare LABEL_STUDIO_URL of the backend with {label_studio_url}",
)  # fmt: skip
IMAGE_UNREACHABLE = Cause(
    "image-host-unreachable", "image",
    ("Cannot connect to Label Studio at", "Cannot connect to The image host", "did not deliver the image within",
     "Failed to establish a new connection", "Max retries exceeded with url"),
    "The backend cannot connect to where the image lies: localhost inside a container, a wrong port, or a firewall.",
    "set LABEL_STUDIO_URL={label_studio_url} for the backend and restart it",
)  # fmt: skip
IMAGE_FAILED = Cause(
    "image-failed", "image", (),
    "The backend cannot use the image of task {task}: {said}.",
    "docker logs --tail 50 {container}",
)  # fmt: skip

# --- click and latency -----------------------------------------------------------------------------------------------
CLICK_FAILED = Cause(
    "click-failed", "click",
    ("Incorrect response from ML service", "results field must be a list with at least one item"),
    "A click through Label Studio came back without a prediction: {said}.",
    "docker logs --tail 50 {container}",
)  # fmt: skip
CLICK_EMPTY = Cause(
    "click-empty", "click", (),
    "A click in the middle of the image of task {task} returned no mask; that may be right for that image.",
    "samstudio click, which clicks drawn objects whose masks are known",
)  # fmt: skip
SLOW = Cause(
    "click-slow", "latency", (),
    "The click took {milliseconds} ms ({detail}).",
    "samstudio prewarm --project {project}; on a host with a GPU see the gpu link",
)  # fmt: skip

# --- host ------------------------------------------------------------------------------------------------------------
CLOCK = Cause(
    "clock-skew", "clock", ("The token is not yet valid", "Token is invalid or expired"),
    "The clocks of this machine and {who} differ by {seconds} s; tokens live by the clock.",
    "timedatectl set-ntp true (on both)",
)  # fmt: skip
DISK = Cause(
    "disk-full", "disk", ("No space left on device", "database or disk is full"),
    "{path} has {free} free.",
    "docker system df; remove what you do not need, or move /var/lib/samstudio to a larger disk",
)  # fmt: skip
GPU_BROKEN = Cause(
    "gpu-driver-broken", "gpu", ("Driver/library version mismatch", "NVIDIA-SMI has failed"),
    "The NVIDIA driver does not answer: {said}.",
    "reboot; if it stays: ./samstudio deploy",
)  # fmt: skip
GPU_UNUSED = Cause(
    "gpu-unused", "gpu", (),
    "This machine has {gpu} (driver {driver}), but the backend computes on {device} (torch {torch}).",
    "./samstudio deploy, which installs the container toolkit and the matching torch",
)  # fmt: skip

CAUSES: tuple[Cause, ...] = (
    URL_WITHOUT_SCHEME, URL_UNUSABLE, LOCALHOST_IN_CONTAINER, NAME_WITHOUT_DOT,
    ENGINE_DOWN, ENGINE_FORBIDDEN, CONTAINER_MISSING, CONTAINER_STOPPED, CONTAINER_UNHEALTHY,
    PROXY, HTTPS_TO_HTTP, NAME_UNKNOWN, DROPPED, BACKEND_REFUSED,
    BACKEND_LOADING, CUDA_MISSING, DRIVER_OLD, CHECKPOINT_MISSING, GPU_MEMORY, BACKEND_FAILED, NOT_A_BACKEND,
    HEALTH_SLOW,
    BACKEND_AUTH_MISSING, BACKEND_AUTH_WRONG, BACKEND_OPEN,
    LABEL_STUDIO_DOWN, NOT_LABEL_STUDIO, TUNNEL_AUTH, VERSION_UNKNOWN, HOST_WITHOUT_SCHEME, HOST_WRONG,
    TOKEN_MISSING, TOKEN_LEGACY_OFF, TOKEN_IS_ACCESS, TOKEN_INVALID,
    GUARD_BLOCKS, GUARD_BLOCKS_WEBHOOK, GUARD_OFF,
    NO_PROJECT, CONFIG_NO_IMAGE, CONFIG_NO_SMART, CONFIG_NO_OUTPUT, CONFIG_LABELS,
    RECORD_MISSING, RECORD_URL_WRONG, RECORD_TUNNEL_STALE, RECORD_DISCONNECTED, WEBHOOK, INTERACTIVE_OFF,
    NO_TASK, IMAGE_TOKEN, IMAGE_RELATIVE, IMAGE_LOCAL_FILE, IMAGE_MISSING, IMAGE_UNREACHABLE, IMAGE_FAILED,
    CLICK_FAILED, CLICK_EMPTY, SLOW,
    CLOCK, DISK, GPU_BROKEN, GPU_UNUSED,
    *TUNNEL,
)  # fmt: skip

#: What Label Studio's own attempt to reach the backend may say, most telling first.
SAID_BY_LABEL_STUDIO: tuple[Cause, ...] = (
    GUARD_BLOCKS, PROXY, HTTPS_TO_HTTP, NAME_UNKNOWN, BACKEND_REFUSED, DROPPED, HEALTH_SLOW, BACKEND_AUTH_WRONG,
    NOT_A_BACKEND, BACKEND_LOADING,
)  # fmt: skip
#: What Label Studio may say of a click, once it counts the backend as connected.
SAID_OF_A_CLICK: tuple[Cause, ...] = (GUARD_BLOCKS, PROXY, DROPPED, BACKEND_AUTH_WRONG, BACKEND_LOADING)
#: What a backend that failed to load may give as its reason.
SAID_BY_FAILED_BACKEND = (DRIVER_OLD, CUDA_MISSING, CHECKPOINT_MISSING, GPU_MEMORY)
#: What a backend may say of an image it could not fetch.
SAID_OF_AN_IMAGE = (IMAGE_TOKEN, IMAGE_RELATIVE, IMAGE_LOCAL_FILE, IMAGE_MISSING, IMAGE_UNREACHABLE)
