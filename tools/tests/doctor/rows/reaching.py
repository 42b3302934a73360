"""The two do not reach each other."""

from __future__ import annotations

import os

import pytest
from label_studio_sdk.core.api_error import ApiError
from samstudio.processes import started_at
from samstudio.tunnel.state import TunnelState

from tools.tests.doctor.bench import Bench
from tools.tests.doctor.rows.means import black_hole, web_server
from tools.tests.doctor.rows.row import row
from tools.tests.servers import free_port

# 1. Connection refused


@row("backend-refused", "network")
def backend_down(bench: Bench) -> None:
    bench.tell(backend=f"http://127.0.0.1:{free_port()}")


@row("record-url-wrong", "ml-record", mends=True)
def record_with_a_wrong_port(bench: Bench) -> None:
    bench.edit_record(url=f"http://127.0.0.1:{free_port()}")


@row("backend-loading", "backend")
def backend_still_loading(bench: Bench) -> None:
    bench.backend.trouble.state = "loading"


@row("record-missing", "ml-record", mends=True)
def never_registered(bench: Bench) -> None:
    bench.studio.connection.sdk.ml.delete(bench.record)


@row("health-slow", "backend")
def health_slower_than_label_studio_waits(bench: Bench) -> None:
    bench.backend.trouble.delay["/health"] = 1.2


@row("localhost-elsewhere", "ml-record", setup="contained")
def label_studio_in_a_container(bench: Bench) -> None:
    """As it is: the backend answers this machine at 127.0.0.1, which is another one in Label Studio's container."""


@row("localhost-elsewhere", "settings")
def localhost_for_a_label_studio_elsewhere(bench: Bench) -> None:
    bench.tell(label_studio="http://label-studio.example.com")


@row("record-disconnected", "ml-record")
def a_backend_that_cannot_be_set_up(bench: Bench) -> None:
    bench.backend.trouble.status["/setup"] = 500


# 2. URLs without scheme or host


@row("url-without-scheme", "ml-record", mends=True)
def record_without_a_scheme(bench: Bench) -> None:
    bench.edit_record(url=bench.backend.url.removeprefix("http://"))


@row("url-unusable", "ml-record", mends=False)
def record_without_a_host(bench: Bench) -> None:
    bench.edit_record(url="http://:9090", title="mine")


@row("name-unknown", "network")
def a_name_that_only_one_side_resolves(bench: Bench) -> None:
    bench.tell(backend="http://sam2-backend.invalid:9090")


@row("name-without-dot", "settings")
def a_name_without_a_dot(bench: Bench) -> None:
    bench.tell(wanted="http://sam2-backend:9090")
    with pytest.raises(ApiError, match="Enter a valid URL"):
        bench.studio.connection.sdk.webhooks.create(project=bench.project, url="http://sam2-backend:9090/webhook")


@row("ipv6-address", "settings")
def a_backend_at_an_ipv6_address(bench: Bench) -> None:
    bench.tell(wanted="http://[::1]:9090")
    with pytest.raises(ApiError, match="Can't resolve hostname"):
        bench.studio.connection.sdk.ml.create(project=bench.project, url="http://[::1]:9090")


# 8. Ports taken by something else that answers


@row("not-a-backend", "backend")
def a_web_server_on_the_backends_port(bench: Bench) -> None:
    bench.stack.enter_context(web_server(bench, "backend", bench.tmp))


@row("not-a-backend", "backend")
def label_studio_itself_as_the_backend(bench: Bench) -> None:
    bench.tell(backend=bench.studio.server.url)


@row("not-label-studio", "label-studio")
def a_web_server_on_label_studios_port(bench: Bench) -> None:
    bench.stack.enter_context(web_server(bench, "label_studio", bench.tmp))


@row("not-label-studio", "label-studio")
def the_backend_as_label_studio(bench: Bench) -> None:
    bench.tell(label_studio=bench.backend.url)


@row("label-studio-down", "label-studio")
def label_studio_down(bench: Bench) -> None:
    bench.tell(label_studio=f"http://127.0.0.1:{free_port()}")


# 9. Firewalls and proxies


@row("packets-dropped", "network")
def packets_dropped_on_the_way_to_the_backend(bench: Bench) -> None:
    bench.tell(backend=bench.stack.enter_context(black_hole()))


@row("packets-dropped", "label-studio")
def packets_dropped_on_the_way_to_label_studio(bench: Bench) -> None:
    bench.tell(label_studio=bench.stack.enter_context(black_hole()))


@row("packets-dropped", "ml-record")
def packets_dropped_between_label_studio_and_the_backend(bench: Bench) -> None:
    hole = bench.stack.enter_context(black_hole())
    bench.edit_record(url=hole)
    bench.tell(wanted=hole)


@row("proxy", "ml-record", setup="proxied")
def a_proxy_that_swallows_local_traffic(bench: Bench) -> None:
    """As it is: HTTP_PROXY without NO_PROXY in Label Studio's environment."""


# 10. ngrok

INTERSTITIAL = b"<!DOCTYPE html><html><body>ERR_NGROK_6024: You are about to visit abc.ngrok-free.app</body></html>"
OFFLINE = b"<!DOCTYPE html><html><body>The endpoint abc.ngrok-free.app is offline. ERR_NGROK_3200</body></html>"


@row("tunnel-6024", "backend")
def an_interstitial_page_instead_of_json(bench: Bench) -> None:
    bench.backend.trouble.page = INTERSTITIAL


@row("tunnel-3200", "backend")
def a_tunnel_that_is_offline(bench: Bench) -> None:
    bench.backend.trouble.page = OFFLINE


@row("https-to-http", "backend")
def an_https_upstream(bench: Bench) -> None:
    bench.tell(backend=bench.backend.url.replace("http://", "https://"))


@row("https-to-http", "ml-record", mends=True)
def an_https_upstream_in_the_record(bench: Bench) -> None:
    bench.edit_record(url=bench.backend.url.replace("http://", "https://"))


@row("record-tunnel-stale", "ml-record", mends=True)
def a_stale_tunnel_in_the_record(bench: Bench) -> None:
    here = os.getpid()
    opened = TunnelState(
        bench.backend.url,
        bench.backend.url,
        "2026-01-01T00:00:00+00:00",
        process=here,
        process_started=started_at(here),
    )
    opened.write(bench.pair.tunnel_state)
    bench.edit_record(url=f"http://127.0.0.1:{free_port()}")


@row("basic-auth-collides", "label-studio")
def basic_auth_on_label_studios_tunnel(bench: Bench) -> None:
    bench.stack.enter_context(web_server(bench, "label_studio", bench.tmp, refuses=True))


@row("webhook-stale", "webhook", warns=True, mends=True)
def a_webhook_to_a_former_address(bench: Bench) -> None:
    bench.studio.sql("UPDATE webhook SET url = 'http://127.0.0.1:9/webhook' WHERE project_id = ?", bench.project)
