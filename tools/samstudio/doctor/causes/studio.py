"""Label Studio: up, aware of its address, letting us in, allowed to reach the backend."""

from __future__ import annotations

from samstudio.doctor.cause import Cause

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
    "make that name lead here (name service or /etc/hosts), or set LABEL_STUDIO_HOST={label_studio_url} and restart "
    "Label Studio",
)  # fmt: skip
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
FIX_GUARD = (
    "restart Label Studio with the settings that this prints: samstudio ssrf settings --address {address} "
    "(deployed by this project: ./samstudio deploy)"
)
GUARD_BLOCKS = Cause(
    "guard-blocks-backend", "ssrf",
    ("URL resolves to a reserved network address (block:",),
    "Label Studio's SSRF guard refuses the backend's address {address} (banned: {blocked_by}).",
    FIX_GUARD,
)  # fmt: skip
GUARD_BLOCKS_WEBHOOK = Cause(
    "guard-blocks-webhook", "ssrf",
    ("URL resolves to a reserved network address (block:",),
    "ML_BLOCK_LOCAL_IP=false lifted one guard of two: saving an ML backend also saves a webhook, and "
    "SSRF_PROTECTION_ENABLED still refuses {address} (banned: {blocked_by}).",
    FIX_GUARD,
)  # fmt: skip
GUARD_OFF = Cause(
    "guard-off", "ssrf", (),
    "Label Studio's SSRF guard is off for ML backends and webhooks: whoever may add one can make it call your network.",
    FIX_GUARD,
)  # fmt: skip
