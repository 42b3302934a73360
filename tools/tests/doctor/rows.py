"""One row for each cause: how it is produced for real, and where the doctor must find it."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest
from label_studio_sdk.core.api_error import ApiError
from samstudio.tunnel.state import TunnelState

from tools.tests.doctor.bench import Bench
from tools.tests.label_studio import free_port

Sabotage = Callable[[Bench], object]


@dataclass(frozen=True)
class Row:
    cause: str
    link: str
    sabotage: Sabotage
    setup: str = "narrow"
    #: a warning does not break the chain
    warns: bool = False
    #: `--fix` mends it
    mends: bool = False

    @property
    def name(self) -> str:
        return f"{self.cause}-{self.sabotage.__name__}"


ROWS: list[Row] = []


def row(cause: str, link: str, **how: object) -> Callable[[Sabotage], Sabotage]:
    def add(sabotage: Sabotage) -> Sabotage:
        ROWS.append(Row(cause, link, sabotage, **how))
        return sabotage

    return add


# 1. Connection refused


@row("backend-refused", "network")
def backend_down(bench):
    bench.tell(backend=f"http://127.0.0.1:{free_port()}")


@row("record-url-wrong", "ml-record", mends=True)
def record_with_a_wrong_port(bench):
    bench.edit_record(url=f"http://127.0.0.1:{free_port()}")


@row("backend-loading", "backend")
def backend_still_loading(bench):
    bench.backend.trouble.state = "loading"


@row("record-missing", "ml-record", mends=True)
def never_registered(bench):
    bench.studio.connection.sdk.ml.delete(bench.record)


@row("health-slow", "backend")
def health_slower_than_label_studio_waits(bench):
    bench.backend.trouble.delay["/health"] = 1.2


# 2. URLs without scheme or host


@row("url-without-scheme", "ml-record", mends=True)
def record_without_a_scheme(bench):
    bench.edit_record(url=bench.backend.url.removeprefix("http://"))


@row("url-unusable", "ml-record", mends=False)
def record_without_a_host(bench):
    bench.edit_record(url="http://:9090", title="mine")


@row("name-unknown", "network")
def a_name_that_only_one_side_resolves(bench):
    bench.tell(backend="http://sam2-backend.invalid:9090")


@row("name-without-dot", "settings")
def a_name_without_a_dot(bench):
    bench.tell(wanted="http://sam2-backend:9090")
    with pytest.raises(ApiError, match="Enter a valid URL"):
        bench.studio.connection.sdk.webhooks.create(project=bench.project, url="http://sam2-backend:9090/webhook")


# 3. Both SSRF guards


@row("guard-blocks-backend", "ssrf", setup="guarded")
def the_ml_guard(bench):
    """As it is: the backend is on a reserved address."""


@row("guard-blocks-webhook", "ssrf", setup="half-open")
def the_webhook_guard(bench):
    """As it is: ML_BLOCK_LOCAL_IP=false and nothing else."""


@row("guard-off", "ssrf", setup="open", warns=True)
def no_guard(bench):
    """As it is: both guards off, with everything working."""


# 4. 401


@row("backend-auth-wrong", "backend-auth")
def another_password_here(bench):
    bench.tell(password="not the backend's")


@row("backend-auth-missing", "backend-auth")
def no_password_here(bench):
    bench.tell(password="")


@row("backend-auth-wrong", "ml-record", mends=True)
def another_password_in_the_record(bench):
    bench.edit_record(basic_auth_pass="not the backend's")


@row("image-token-refused", "image")
def backend_with_a_legacy_token(bench):
    bench.backend.trouble.api_key = bench.studio.sql("SELECT key FROM authtoken_token")[0][0]


@row("image-token-refused", "image")
def backend_without_a_token(bench):
    bench.backend.trouble.api_key = ""


@row("image-token-refused", "image")
def backend_with_a_revoked_token(bench):
    bench.backend.trouble.api_key = forged(bench.studio.token)


@row("image-host-unreachable", "image")
def backend_with_a_wrong_port_for_label_studio(bench):
    bench.backend.trouble.label_studio_url, bench.backend.trouble.api_key = f"http://127.0.0.1:{free_port()}", ""


@row("token-missing", "token")
def no_token(bench):
    bench.tell(token="")


@row("token-legacy-off", "token")
def a_legacy_token(bench):
    bench.tell(token=bench.studio.sql("SELECT key FROM authtoken_token")[0][0])


@row("token-invalid", "token")
def a_token_of_another_label_studio(bench):
    bench.tell(token=forged(bench.studio.token))


@row("token-is-access", "token")
def a_short_lived_token(bench):
    url = f"{bench.studio.server.url}/api/token/refresh/"
    bench.tell(token=httpx.post(url, json={"refresh": bench.studio.token}).json()["access"])


# 5. Images


@row("image-no-host", "image")
def backend_that_does_not_know_label_studio(bench):
    bench.backend.trouble.label_studio_url, bench.backend.trouble.api_key = "", ""


@row("image-no-host", "image")
def label_studio_url_without_a_scheme(bench):
    bench.backend.trouble.api_key = ""
    bench.backend.trouble.label_studio_url = bench.studio.server.url.replace("http://127.0.0.1", "localhost")


@row("image-missing", "image")
def an_upload_that_is_gone(bench):
    for file in (bench.studio.server.folder / "data" / "media" / "upload" / str(bench.project)).iterdir():
        file.unlink()


@row("image-local-files", "image")
def a_local_file_outside_of_the_document_root(bench):
    only_task(bench, "/data/local-files/?d=nowhere/image.png")


@row("no-task", "image", warns=True)
def no_task(bench):
    delete_tasks(bench)


# 6. LABEL_STUDIO_HOST


@row("host-without-scheme", "label-studio-host", setup="guarded", warns=True)
def host_without_a_scheme(bench):
    """As it is: LABEL_STUDIO_HOST=127.0.0.1:8080."""


@row("host-wrong", "label-studio-host", setup="half-open", warns=True)
def host_with_a_wrong_port(bench):
    """As it is: LABEL_STUDIO_HOST=http://127.0.0.1:9."""


@row("host-wrong", "label-studio-host", setup="proxied", warns=True)
def host_with_a_path(bench):
    """As it is: LABEL_STUDIO_HOST=http://127.0.0.1:PORT/projects/3, as copied from a browser."""


# 7. Interactive and labeling config

KEYPOINT = '<KeyPointLabels name="kp" toName="image" {}><Label value="{}"/></KeyPointLabels>'
BRUSH = '<BrushLabels name="brush" toName="image"><Label value="{}"/></BrushLabels>'


def view(*controls: str) -> str:
    return f'<View><Image name="image" value="$image"/>{"".join(controls)}</View>'


@row("interactive-off", "interactive", mends=True)
def interactive_off(bench):
    bench.edit_record(is_interactive=False)


@row("config-no-smart", "label-config")
def no_smart_control(bench):
    bench.config(view(KEYPOINT.format("", "a"), BRUSH.format("a")))


@row("config-no-output", "label-config")
def no_brush(bench):
    bench.config(view(KEYPOINT.format('smart="true"', "a")))


@row("config-labels-differ", "label-config")
def labels_that_do_not_match(bench):
    bench.config(view(KEYPOINT.format('smart="true"', "a"), BRUSH.format("b")))


@row("config-no-image", "label-config")
def no_image(bench):
    delete_tasks(bench)
    bench.config('<View><Text name="text" value="$text"/></View>')


# 8. Ports taken by something else that answers


@row("not-a-backend", "backend")
def a_web_server_on_the_backends_port(bench):
    bench.stack.enter_context(web_server(bench, "backend", bench.tmp))


@row("not-a-backend", "backend")
def label_studio_itself_as_the_backend(bench):
    bench.tell(backend=bench.studio.server.url)


@row("not-label-studio", "label-studio")
def a_web_server_on_label_studios_port(bench):
    bench.stack.enter_context(web_server(bench, "label_studio", bench.tmp))


@row("not-label-studio", "label-studio")
def the_backend_as_label_studio(bench):
    bench.tell(label_studio=bench.backend.url)


@row("label-studio-down", "label-studio")
def label_studio_down(bench):
    bench.tell(label_studio=f"http://127.0.0.1:{free_port()}")


# 9. Firewalls and proxies


@row("packets-dropped", "network")
def packets_dropped_on_the_way_to_the_backend(bench):
    bench.tell(backend=bench.stack.enter_context(black_hole()))


@row("packets-dropped", "label-studio")
def packets_dropped_on_the_way_to_label_studio(bench):
    bench.tell(label_studio=bench.stack.enter_context(black_hole()))


@row("proxy", "ml-record", setup="proxied")
def a_proxy_that_swallows_local_traffic(bench):
    """As it is: HTTP_PROXY without NO_PROXY in Label Studio's environment."""


# 10. ngrok

INTERSTITIAL = b"<!DOCTYPE html><html><body>ERR_NGROK_6024: You are about to visit abc.ngrok-free.app</body></html>"
OFFLINE = b"<!DOCTYPE html><html><body>The endpoint abc.ngrok-free.app is offline. ERR_NGROK_3200</body></html>"


@row("tunnel-6024", "backend")
def an_interstitial_page_instead_of_json(bench):
    bench.backend.trouble.page = INTERSTITIAL


@row("tunnel-3200", "backend")
def a_tunnel_that_is_offline(bench):
    bench.backend.trouble.page = OFFLINE


@row("https-to-http", "backend")
def an_https_upstream(bench):
    bench.tell(backend=bench.backend.url.replace("http://", "https://"))


@row("https-to-http", "ml-record", mends=True)
def an_https_upstream_in_the_record(bench):
    bench.edit_record(url=bench.backend.url.replace("http://", "https://"))


@row("record-tunnel-stale", "ml-record", mends=True)
def a_stale_tunnel_in_the_record(bench):
    TunnelState(bench.backend.url, bench.backend.url, "2026-01-01T00:00:00+00:00").write(bench.patient.tunnel_state)
    bench.edit_record(url=f"http://127.0.0.1:{free_port()}")


@row("basic-auth-collides", "label-studio")
def basic_auth_on_label_studios_tunnel(bench):
    bench.stack.enter_context(web_server(bench, "label_studio", bench.tmp, refuses=True))


@row("webhook-stale", "webhook", warns=True, mends=True)
def a_webhook_to_a_former_address(bench):
    bench.studio.sql("UPDATE webhook SET url = 'http://127.0.0.1:9/webhook' WHERE project_id = ?", bench.project)


# 11. CUDA and checkpoint: the words are torch's and ours, the backend that says them is a stand-in


def failed(bench: Bench, reason: str) -> None:
    bench.backend.trouble.failed = reason


@row("cuda-missing", "backend")
def no_gpu_for_cuda(bench):
    failed(bench, "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU")


@row("driver-too-old", "backend")
def an_old_driver(bench):
    failed(bench, "The NVIDIA driver on your system is too old (found version 12020).")


@row("checkpoint-missing", "backend")
def no_checkpoint(bench):
    failed(bench, "checkpoint /models/sam2.1_hiera_tiny.pt does not exist")


@row("gpu-memory", "backend")
def a_gpu_that_is_full(bench):
    failed(bench, "CUDA out of memory. Tried to allocate 256.00 MiB")


@row("backend-failed", "backend")
def another_failure(bench):
    failed(bench, "something that nobody foresaw")


# the click itself


@row("click-failed", "click")
def a_click_that_is_answered_with_no_json(bench):
    bench.backend.trouble.predict = "text"


@row("click-empty", "click", warns=True)
def a_click_without_a_mask(bench):
    bench.backend.trouble.predict = "empty"


@row("click-slow", "latency", warns=True)
def a_slow_click(bench):
    bench.backend.trouble.delay["/predict"] = 3.2


@row("no-project", "project")
def no_such_project(bench):
    bench.tell(project=424242)


@row("clock-skew", "clock", warns=True)
def a_backend_whose_clock_is_wrong(bench):
    bench.backend.trouble.date = "Thu, 01 Jan 2026 00:00:00 GMT"


# helpers


def forged(token: str) -> str:
    """The token with another signature, as one of another SECRET_KEY has."""
    head, payload, signature = token.split(".")
    return f"{head}.{payload}.{signature[::-1]}"


def delete_tasks(bench: Bench) -> None:
    bench.studio.connection.http.delete(f"/api/projects/{bench.project}/tasks/").raise_for_status()


def only_task(bench: Bench, address: str) -> None:
    delete_tasks(bench)
    bench.task(address)


@contextmanager
def web_server(bench: Bench, whose: str, folder: Path, *, refuses: bool = False) -> Iterator[None]:
    """Some other web server where the patient is thought to be."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if not refuses:
                return super().do_GET()
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="ngrok"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bench.tell(**{whose: f"http://127.0.0.1:{server.server_port}"})
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def black_hole() -> Iterator[str]:
    """A port whose SYN packets the kernel drops, as a firewall does: its accept queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            waiting.append(client)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for client in waiting:
                client.close()
