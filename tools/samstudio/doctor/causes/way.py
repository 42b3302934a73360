"""The way to the backend: URLs as they are written down, the engine and its containers, the network."""

from __future__ import annotations

from samstudio.doctor.cause import Cause

URL_WITHOUT_SCHEME = Cause(
    "url-without-scheme", "settings",
    ("gethostbyname() argument 1 must be str, bytes or bytearray, not None", "No scheme supplied",
     "No connection adapters were found for '…:9090/health'"),
    "{url} has no scheme; Label Studio takes it for a URL without a host.",
    "{register}", mends=True,
)  # fmt: skip
URL_UNUSABLE = Cause(
    "url-unusable", "settings", ("no usable URL",),
    "{url} is no usable URL: {reason}.",
    "write http://HOST:PORT: in /etc/samstudio/deployment.yml, or after --backend-url and --label-studio-url",
)  # fmt: skip
LOCALHOST_IN_CONTAINER = Cause(
    "localhost-in-container", "settings",
    ("Can't connect to ML backend http://localhost:9090…Connection refused",),
    "{url} is used inside the container {container}, where {host} is that container and not this machine.",
    "{register}", mends=True,
)  # fmt: skip
LOCALHOST_ELSEWHERE = Cause(
    "localhost-elsewhere", "settings",
    ("Can't connect to ML backend http://localhost:9090…Connection refused",),
    "{host} in {url} means Label Studio's own machine or container, and the backend is not there.",
    "let the backend listen where Label Studio reaches it, and name that address: {register} --backend-url {reachable}",
)  # fmt: skip
NAME_WITHOUT_DOT = Cause(
    "name-without-dot", "settings", ("Enter a valid URL.",),
    "{host} in {url} has no dot; Label Studio connects to it, but refuses the webhook that belongs to the connection.",
    "give the backend a name with a dot on the container network (sam2-backend.internal), or use its address",
)  # fmt: skip
IPV6_ADDRESS = Cause(
    "ipv6-address", "settings", ("Can't resolve hostname [",),
    "{url} is an IPv6 address; Label Studio looks up the IPv4 address of a backend before it connects, and finds none.",
    "give the backend an IPv4 address, or a name that has one: {register} --backend-url http://ADDRESS:{port}",
)  # fmt: skip
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
    "with http:// in place of https:// there: {register}", mends=True,
)  # fmt: skip
NAME_UNKNOWN = Cause(
    "name-unknown", "network",
    ("Name or service not known", "Failed to resolve", "Temporary failure in name resolution",
     "Can't resolve hostname"),
    "{who} cannot resolve the name {host}; names of containers exist only on their container network.",
    "use an address that {who} can resolve: {register} --backend-url http://ADDRESS:PORT",
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
    "docker start {container}; without containers: start the backend where {who} reaches it, or name its port with "
    "--backend-url",
)  # fmt: skip
