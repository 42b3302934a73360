"""Every documented way for the tunnel to fail: one sentence and the command that mends it.

The codes are ngrok's own (https://ngrok.com/docs/errors/); the rest is what happens before ngrok has a say.
"""

from __future__ import annotations

from collections.abc import Mapping

from samstudio.causes import Cause, recognise
from samstudio.errors import SamstudioError

_DASHBOARD = "https://dashboard.ngrok.com/get-started/your-authtoken"


def _row(name: str, texts: tuple[str, ...], why: str, fix: str) -> Cause:
    return Cause(f"tunnel-{name}", texts, why, fix)


NO_TOKEN = _row(
    "no-authtoken",
    ("no ngrok authtoken",),
    "There is no ngrok authtoken: the environment has no NGROK_AUTHTOKEN and {file} does not exist.",
    f"copy the token from {_DASHBOARD}, then: install -m 0600 /dev/stdin {{file}}",
)
TOKEN_FILE_OPEN = _row(
    "authtoken-readable",
    ("authtoken file can be read by others",),
    "The authtoken file {file} can be read by others (mode {mode}, expected 0600).",
    "chmod 0600 {file}",
)
AGENT_MISSING = _row(
    "agent-missing",
    ("ngrok binary was not found", "no ngrok agent"),
    "There is no ngrok agent at {agent}; samstudio does not let pyngrok download one, as it checks no checksum.",
    "samstudio tunnel install-agent --source ARCHIVE --sha256 SUM, or your package manager's ngrok",
)
DOWNLOAD_BLOCKED = _row(
    "agent-download-blocked",
    ("ngrok agent could not be downloaded",),
    "The ngrok agent could not be downloaded from {source}: {reason}.",
    "fetch the archive elsewhere, then: samstudio tunnel install-agent --source FILE --sha256 SUM",
)
CHECKSUM = _row(
    "agent-checksum",
    ("sha256 of the ngrok archive",),
    "The sha256 of the ngrok archive is {found}, expected {expected}: it is another version, or a proxy changed it.",
    "take archive and sum from one place, then: samstudio tunnel install-agent --source FILE --sha256 SUM",
)
NOT_AN_ARCHIVE = _row(
    "agent-not-an-archive",
    ("holds no ngrok executable",),
    "{source} holds no ngrok executable: it is no .tgz or .zip of the agent (a login page of a proxy, perhaps).",
    "take the Linux archive of the agent, then: samstudio tunnel install-agent --source FILE --sha256 SUM",
)
BACKEND_OPEN = _row(
    "backend-without-auth",
    ("answers /predict without credentials",),
    "The backend {backend} answers /predict without credentials; on a public address anyone could use it.",
    "set BASIC_AUTH_USER and BASIC_AUTH_PASS (or BASIC_AUTH_PASS_FILE) on the backend, then open the tunnel again",
)
BACKEND_DOWN = _row(
    "backend-down",
    ("ERR_NGROK_8012", "no answer from the backend"),
    "The backend {backend} does not answer on this machine: {reason}.",
    "samstudio doctor --backend-url {backend}",
)
BACKEND_PASSWORD = _row(
    "backend-password",
    ("backend refuses the basic auth",),
    "The backend {backend} refuses the basic auth user and password that would be registered with Label Studio.",
    "samstudio tunnel open --backend-user USER --password-file FILE with what the backend was started with",
)
UPSTREAM_HTTPS = _row(
    "https-upstream",
    ("ERR_NGROK_3004", "wrong version number", "record layer failure", "https://localhost"),
    "The upstream {backend} is https:// but the backend speaks plain http; ngrok adds the https itself.",
    "samstudio tunnel open --backend-url {plain}",
)
NO_NETWORK = _row(
    "no-network",
    ("dial tcp", "no such host", "server misbehaving", "i/o timeout", "has no records", "failed to dial ngrok server"),
    "The ngrok agent cannot reach connect.ngrok-agent.com:443 from this network: {reason}.",
    "allow outgoing TCP 443 to *.ngrok-agent.com, or set HTTPS_PROXY for the service",
)
TLS_INSPECTED = _row(
    "tls-inspected",
    ("x509:", "failed to verify certificate"),
    "Something between this network and ngrok opens its TLS connection (an inspecting proxy).",
    "ask for connect.ngrok-agent.com to be exempt from TLS inspection",
)
SILENT = _row(
    "agent-silent",
    ("The ngrok process was unable to start",),
    "The ngrok agent at {agent} started but was not ready after {seconds} s; its last words: {last_words}.",
    "run `{agent} diagnose`, and check that {agent} is the ngrok agent, version 3",
)
OTHER = _row(
    "other",
    ("ERR_NGROK_…",),
    "ngrok refused: {reason}.",
    "look the code up at https://ngrok.com/docs/errors/",
)

NGROK = (
    _row(
        "4018",
        ("ERR_NGROK_4018", "requires a verified account and authtoken"),
        "ngrok wants an account with a verified address and its authtoken, and got neither (ERR_NGROK_4018).",
        f"sign up, verify the address, copy the token from {_DASHBOARD}, then: install -m 0600 /dev/stdin {{file}}",
    ),
    _row(
        "105",
        ("ERR_NGROK_105", "does not look like a proper ngrok"),
        "The authtoken is malformed: an API key, a truncated copy or a stray space (ERR_NGROK_105).",
        f"copy it again from {_DASHBOARD}, then: install -m 0600 /dev/stdin {{file}}",
    ),
    _row(
        "107",
        ("ERR_NGROK_107", "properly formed, but it is invalid"),
        "The authtoken was reset or belongs to a team you left (ERR_NGROK_107).",
        f"copy the current one from {_DASHBOARD}, then: install -m 0600 /dev/stdin {{file}}",
    ),
    _row(
        "108",
        ("ERR_NGROK_108", "simultaneous ngrok agent sessions"),
        "The account has as many agents online as its plan allows (ERR_NGROK_108), perhaps one left over here.",
        "stop one: `pgrep -a ngrok` on your hosts, or https://dashboard.ngrok.com/agents",
    ),
    _row(
        "300",
        ("ERR_NGROK_300",),
        "The authtoken was revoked (ERR_NGROK_300).",
        f"copy the current one from {_DASHBOARD}, then: install -m 0600 /dev/stdin {{file}}",
    ),
    _row(
        "334",
        ("ERR_NGROK_334", "is already online"),
        "The address is already online: a previous agent is still alive, here or elsewhere (ERR_NGROK_334).",
        "`pgrep -a ngrok` and stop it, or stop the endpoint at https://dashboard.ngrok.com/endpoints",
    ),
    _row(
        "360",
        ("ERR_NGROK_360", "Invalid basic auth credential"),
        "A password for basic auth on the tunnel itself has less than 8 or more than 128 characters (ERR_NGROK_360); "
        "the tunnel needs none, the backend has its own.",
        "remove the basic-auth action from the endpoint's traffic policy",
    ),
    _row(
        "324",
        ("ERR_NGROK_324",),
        "The account has as many endpoints as its plan allows (ERR_NGROK_324).",
        "stop one at https://dashboard.ngrok.com/endpoints",
    ),
    _row(
        "6024",
        ("ERR_NGROK_6024", "You are about to visit"),
        "ngrok's free plan shows browsers a warning page instead of the answer (ERR_NGROK_6024); Label Studio is no "
        "browser and gets the answer, a check made from a browser is not.",
        "check with: curl -H 'ngrok-skip-browser-warning: 1' {url}/health",
    ),
    _row(
        "3200",
        ("ERR_NGROK_3200", "endpoint is offline"),
        "No agent serves that address any more (ERR_NGROK_3200): the tunnel is down or has another address now.",
        "systemctl restart samstudio-tunnel, or: samstudio tunnel open",
    ),
)

FAILURES: tuple[Cause, ...] = (
    NO_TOKEN,
    TOKEN_FILE_OPEN,
    AGENT_MISSING,
    DOWNLOAD_BLOCKED,
    CHECKSUM,
    NOT_AN_ARCHIVE,
    BACKEND_OPEN,
    BACKEND_PASSWORD,
    *NGROK,
    UPSTREAM_HTTPS,
    BACKEND_DOWN,
    TLS_INSPECTED,
    NO_NETWORK,
    SILENT,
    OTHER,
)


class TunnelError(SamstudioError):
    """A tunnel that cannot be opened or kept, told as one sentence and the fix."""

    def __init__(self, failure: Cause, **facts: object) -> None:
        why, fix = failure.explain(facts)
        super().__init__(why, command=fix, link="tunnel")
        self.failure = failure


def explain(text: str, facts: Mapping[str, object]) -> TunnelError:
    """What the agent's words mean; ``facts`` fill the placeholders."""
    failure = recognise(text, FAILURES) or OTHER
    return TunnelError(failure, **{"reason": _last_line(text), **facts})


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.replace("\\n", "\n").replace("\\r", "\n").splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "no words"
