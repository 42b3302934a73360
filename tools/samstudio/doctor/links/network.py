"""The addresses as they are written down, and the network between the two."""

from __future__ import annotations

from samstudio.addresses import normalise
from samstudio.causes import Cause
from samstudio.doctor.link import Known, Link, Result, broken, ok
from samstudio.doctor.pair import Pair
from samstudio.doctor.probes import reach, url_from_elsewhere

URL_WITHOUT_SCHEME = Cause(
    "url-without-scheme",
    (
        "gethostbyname() argument 1 must be str, bytes or bytearray, not None",
        "No scheme supplied",
        "No connection adapters were found for '…:9090/health'",
    ),
    "{url} has no scheme; Label Studio takes it for a URL without a host.",
    "{register}",
)
URL_UNUSABLE = Cause(
    "url-unusable",
    ("no usable URL",),
    "{url} is no usable URL: {reason}.",
    "write http://HOST:PORT: in /etc/samstudio/deployment.yml, or after --backend-url and --label-studio-url",
)
LOCALHOST_IN_CONTAINER = Cause(
    "localhost-in-container",
    ("Can't connect to ML backend http://localhost:9090…Connection refused",),
    "{url} is used inside the container {container}, where {host} is that container and not this machine.",
    "{register}",
)
LOCALHOST_ELSEWHERE = Cause(
    "localhost-elsewhere",
    ("Can't connect to ML backend http://localhost:9090…Connection refused",),
    "{host} in {url} means Label Studio's own machine or container, and the backend is not there.",
    "let the backend listen where Label Studio reaches it, and name that address: {register_at} "
    "--backend-url {reachable}",
)
NAME_WITHOUT_DOT = Cause(
    "name-without-dot",
    ("Enter a valid URL.",),
    "{host} in {url} has no dot; Label Studio connects to it, but refuses the webhook that belongs to the connection.",
    "give the backend a name with a dot on the container network (sam2-backend.internal), or use its address",
)
IPV6_ADDRESS = Cause(
    "ipv6-address",
    ("Can't resolve hostname [",),
    "{url} is an IPv6 address; Label Studio looks up the IPv4 address of a backend before it connects, and finds none.",
    "give the backend an IPv4 address, or a name that has one: {register_at} --backend-url http://ADDRESS:{port}",
)
PROXY = Cause(
    "proxy",
    ("ProxyError", "Unable to connect to proxy", "Tunnel connection failed", "407 Proxy Authentication Required"),
    "{who} sends local traffic to the proxy {proxy}: NO_PROXY does not name {host}.",
    "add {host} to NO_PROXY in {who}'s environment, then restart it",
)
HTTPS_TO_HTTP = Cause(
    "https-to-http",
    ("[SSL: WRONG_VERSION_NUMBER]", "[SSL] record layer failure", "packet length too long"),
    "{url} is https://, but plain http answers there.",
    "with http:// in place of https:// there: {register}",
)
NAME_UNKNOWN = Cause(
    "name-unknown",
    (
        "Name or service not known",
        "Failed to resolve",
        "Temporary failure in name resolution",
        "Can't resolve hostname",
    ),
    "{who} cannot resolve the name {host}; names of containers exist only on their container network.",
    "use an address that {who} can resolve: {register_at} --backend-url http://ADDRESS:PORT",
)
DROPPED = Cause(
    "packets-dropped",
    ("timed out. (connect timeout=", "ConnectTimeout", "[Errno 110] Connection timed out", "No route to host"),
    "{host}:{port} does not even refuse: a firewall drops the packets between {who} and it.",
    "open TCP {port} on {host} for {who}'s address, e.g. ufw allow from ADDRESS to any port {port} proto tcp",
)
BACKEND_REFUSED = Cause(
    "backend-refused",
    ("[Errno 111] Connection refused", "Can't connect to ML backend … health check failed"),
    "Nothing listens on {host}:{port}, seen from {who}: the backend is down, or has another port.",
    "docker start {container}; without containers: start the backend where {who} reaches it, or name its port with "
    "--backend-url",
)
LABEL_STUDIO_DOWN = Cause(
    "label-studio-down",
    ("Label Studio does not answer",),
    "Label Studio does not answer at {url}: {reason}.",
    "docker start {studio_container}; without containers: label-studio start",
)
#: what a connection that was not made died of
UNREACHED = {"name": NAME_UNKNOWN, "refused": BACKEND_REFUSED, "dropped": DROPPED}


def check_addresses(pair: Pair, _: Known) -> Result:
    """Each URL has a scheme and a host, and none that a container uses means the container itself."""
    inside = {pair.wanted: pair.studio_container, pair.studio_internal: pair.backend_container}
    for url in (pair.label_studio, pair.backend, *inside):
        try:
            address = normalise(url, keep_path=True)
            address.host.encode("idna")  # as every client does before it looks a name up
        except ValueError as error:
            return broken(URL_UNUSABLE, error, url=url, reason=error)
        container = inside.get(url, "")
        if container and address.is_loopback:
            evidence = f"deployment.yml: {url}"
            return broken(LOCALHOST_IN_CONTAINER, evidence, url=url, host=address.host, container=container)
    backend, studio = normalise(pair.wanted), normalise(pair.label_studio, keep_path=True)
    if pair.by_hand and backend.is_loopback and not studio.is_loopback:
        reachable = url_from_elsewhere(backend.port, studio.host)
        evidence = f"backend {backend.url}, Label Studio {studio.url}"
        return broken(LOCALHOST_ELSEWHERE, evidence, url=backend.url, host=backend.host, reachable=reachable)
    if ":" in backend.host:
        return broken(IPV6_ADDRESS, pair.wanted, url=pair.wanted, port=backend.port)
    if "." not in backend.host and backend.host != "localhost":
        return broken(NAME_WITHOUT_DOT, pair.wanted, url=pair.wanted, host=backend.host)
    return ok(f"Label Studio {pair.label_studio}, backend {pair.backend}")


def check_network(pair: Pair, _: Known) -> Result:
    """TCP to the backend from here and, with containers, from each of the two to the other."""
    attempts = [("this machine", "", pair.backend)]
    if not pair.by_hand:
        attempts.append(("Label Studio", pair.studio_container, pair.wanted))
    if pair.backend_container:
        attempts.append(("the backend", pair.backend_container, pair.studio_internal))
    reached = []
    for who, container, url in attempts:
        result = connect(who, container, url)
        if result.cause is not None:
            return result
        reached.append(result.evidence)
    return ok("; ".join(reached))


def connect(who: str, container: str, url: str) -> Result:
    """A TCP connection to where a URL points, from a container or from this machine."""
    place = normalise(url, keep_path=True)
    attempt = reach(place.host, place.port, container=container)
    cause = UNREACHED.get(attempt.failure)
    if cause is not None:
        if (who, cause) == ("the backend", BACKEND_REFUSED):
            cause = LABEL_STUDIO_DOWN
        evidence = f"from {who}: {place.host}:{place.port}: {attempt.said}"
        return broken(cause, evidence, who=who, host=place.host, port=place.port, url=url, reason=attempt.said)
    reached = f"{who} reaches {place.host}:{place.port}"
    return ok(reached if attempt.tried else f"whether {reached} could not be tried ({attempt.said})")


ADDRESSES = Link(
    "settings",
    check_addresses,
    causes=(
        URL_WITHOUT_SCHEME,
        URL_UNUSABLE,
        LOCALHOST_IN_CONTAINER,
        LOCALHOST_ELSEWHERE,
        NAME_WITHOUT_DOT,
        IPV6_ADDRESS,
    ),
)
NETWORK = Link(
    "network",
    check_network,
    needs=("settings", "containers"),
    causes=(PROXY, HTTPS_TO_HTTP, NAME_UNKNOWN, DROPPED, BACKEND_REFUSED),
)
