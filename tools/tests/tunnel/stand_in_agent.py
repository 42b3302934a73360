"""A stand-in for the ngrok agent: its log lines and its local API, with no cloud behind it.

The real agent does nothing without ngrok's cloud. This one speaks what pyngrok and `samstudio tunnel` rely on: `start
--none --log stdout --config FILE`, the log format of agent 3, `/api/endpoints`, and the words of ngrok's errors as its
documentation and users' logs give them. Its "public" address is a port of this machine that really forwards to the
upstream. STAND_IN_AGENT chooses what goes wrong; SIGUSR1 gives the endpoint another address.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

TOKEN = "Your authtoken: {token}"
SESSION_ERRORS = {
    "ERR_NGROK_4018": "Usage of ngrok requires a verified account and authtoken.",
    "ERR_NGROK_105": "The authtoken you specified does not look like a proper ngrok authtoken. " + TOKEN,
    "ERR_NGROK_107": "The authtoken you specified is properly formed, but it is invalid. " + TOKEN,
    "ERR_NGROK_108": "Your account is limited to 3 simultaneous ngrok agent sessions.",
    "ERR_NGROK_300": "The credential was revoked.",
}
ENDPOINT_ERRORS = {
    "ERR_NGROK_334": "The endpoint 'https://example.ngrok.app' is already online.",
    "ERR_NGROK_360": "Invalid basic auth credential. Password must be between 8 and 128 characters, got 4.",
    "ERR_NGROK_324": "Your account may not run more than 3 endpoints over a single ngrok agent session.",
}
INTERSTITIAL = b"<!DOCTYPE html><title>ERR_NGROK_6024</title><p>You are about to visit a site served for free by ngrok"

trouble = os.environ.get("STAND_IN_AGENT", "")
endpoints: dict[str, dict[str, Any]] = {}


def log(level: str, message: str, **fields: str) -> None:
    rest = " ".join(f"{key}={json.dumps(value)}" for key, value in fields.items())
    print(f't={time.strftime("%Y-%m-%dT%H:%M:%S+0000")} lvl={level} msg="{message}" {rest}', flush=True)


def serve(handler: type[BaseHTTPRequestHandler]) -> str:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"127.0.0.1:{server.server_port}"


class Public(BaseHTTPRequestHandler):
    """What the internet sees: forwards to the upstream, shows browsers a warning page first."""

    def forward(self) -> None:
        if "Mozilla" in self.headers.get("User-Agent", "") and "ngrok-skip-browser-warning" not in self.headers:
            return self.answer(200, {"Content-Type": "text/html"}, INTERSTITIAL)
        upstream = next(iter(endpoints.values()))["upstream"]["url"]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
        request = urllib.request.Request(upstream + self.path, body, dict(self.headers), method=self.command)
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                self.answer(reply.status, dict(reply.headers), reply.read())
        except urllib.error.HTTPError as error:
            self.answer(error.code, dict(error.headers), error.read())

    do_GET = do_POST = forward

    def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name in ("Content-Type", "WWW-Authenticate"):
            if name in headers:
                self.send_header(name, headers[name])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class LocalApi(Public):
    """The agent's own API: https://ngrok.com/docs/agent/api/, endpoints instead of tunnels since version 3."""

    def do_GET(self) -> None:
        self.json(200, {"endpoints": list(endpoints.values()), "uri": "/api/endpoints"})

    def do_POST(self) -> None:
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if trouble in ENDPOINT_ERRORS:
            words = f"{ENDPOINT_ERRORS[trouble]}\r\n\r\n{trouble}\r\n"
            refused = {
                "error_code": 103,
                "status_code": 502,
                "msg": "failed to start tunnel",
                "details": {"err": words},
            }
            return self.json(502, refused)
        url = wanted.get("url") or "http://" + serve(Public)
        endpoints[wanted["name"]] = {"name": wanted["name"], "id": "ep_1", "url": url, "upstream": wanted["upstream"]}
        log("info", "started tunnel", obj="tunnels", name=wanted["name"], addr=wanted["upstream"]["url"], url=url)
        return self.json(201, endpoints[wanted["name"]])

    def do_DELETE(self) -> None:
        endpoints.pop(self.path.rsplit("/", 1)[-1], None)
        self.send_response(204)
        self.end_headers()

    def json(self, status: int, content: object) -> None:
        self.answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())


def move(*_: object) -> None:
    for endpoint in endpoints.values():
        endpoint["url"] = "http://" + serve(Public)


def main() -> None:
    configuration = Path(sys.argv[sys.argv.index("--config") + 1])
    token = yaml.safe_load(configuration.read_text())["agent"]["authtoken"]
    if seen := os.environ.get("STAND_IN_SEEN"):
        report = {"argv": sys.argv, "variables": sorted(os.environ), "mode": oct(configuration.stat().st_mode)}
        Path(seen).write_text(json.dumps({**report, "config": str(configuration), "pid": os.getpid()}))
    signal.signal(signal.SIGUSR1, move)
    if trouble == "silent":
        time.sleep(60)
    log("info", "open config file", path=str(configuration), err="nil")
    log("info", "starting web service", obj="web", addr=serve(LocalApi), allow_hosts="[]")
    if trouble in SESSION_ERRORS:
        words = f"authentication failed: {SESSION_ERRORS[trouble].format(token=token)}\r\n\r\n{trouble}\r\n"
        log("eror", "failed to auth", obj="tunnels.session", err=words)
        log("eror", "terminating with error", obj="app", err=words)
        sys.exit(1)
    while trouble in ("no-network", "tls-inspected"):
        reason = "lookup connect.ngrok-agent.com: no such host" if trouble == "no-network" else "unreachable"
        words = f'failed to dial ngrok server with address "connect.ngrok-agent.com:443": dial tcp: {reason}'
        if trouble == "tls-inspected":
            words = "failed to send authentication request: tls: x509: certificate signed by unknown authority"
        log("eror", "failed to reconnect session", obj="tunnels.session", err=words)
        time.sleep(0.2)
    log("info", "tunnel session started", obj="tunnels.session")
    log("info", "client session established", obj="csess", id="1c907e548f56")
    while True:
        time.sleep(0.05)  # not pause(): a signal may reach another thread


main()
