"""Guards, passwords, tokens, and Label Studio's own address."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx
from samstudio.doctor.probes import url_from_elsewhere

from tools.tests import stand_in_backend
from tools.tests.doctor.bench import Bench
from tools.tests.doctor.rows.means import forged
from tools.tests.doctor.rows.row import row
from tools.tests.servers import free_port

# 3. Both SSRF guards


@row("guard-blocks-backend", "ssrf", setup="guarded")
def the_ml_guard(bench: Bench) -> None:
    """As it is: the backend is on a reserved address."""


@row("guard-blocks-webhook", "ssrf", setup="half-open")
def the_webhook_guard(bench: Bench) -> None:
    """As it is: ML_BLOCK_LOCAL_IP=false and nothing else."""


@row("guard-off", "ssrf", setup="open", warns=True)
def no_guard(bench: Bench) -> None:
    """As it is: both guards off, with everything working."""


# 4. 401


@row("backend-auth-wrong", "backend-auth")
def another_password_here(bench: Bench) -> None:
    bench.tell(password="not the backend's")


@row("backend-auth-missing", "backend-auth")
def no_password_here(bench: Bench) -> None:
    bench.tell(password="")


@row("backend-auth-wrong", "ml-record", mends=True)
def another_password_in_the_record(bench: Bench) -> None:
    bench.edit_record(basic_auth_pass="not the backend's")


@row("backend-open", "backend-auth", warns=True)
def a_backend_that_is_open_to_all(bench: Bench) -> None:
    host = urlsplit(url_from_elsewhere(1, "127.0.0.1")).hostname or ""
    opened = stand_in_backend.running(host, behaviour=stand_in_backend.Behaviour(open=True))
    bench.tell(backend=bench.stack.enter_context(opened).url)


@row("image-token-refused", "image")
def backend_with_a_legacy_token(bench: Bench) -> None:
    bench.backend.trouble.api_key = bench.studio.sql("SELECT key FROM authtoken_token")[0][0]


@row("image-token-refused", "image")
def backend_without_a_token(bench: Bench) -> None:
    bench.backend.trouble.api_key = ""


@row("image-token-refused", "image")
def backend_with_a_revoked_token(bench: Bench) -> None:
    bench.backend.trouble.api_key = forged(bench.studio.token)


@row("image-host-unreachable", "image")
def backend_with_a_wrong_port_for_label_studio(bench: Bench) -> None:
    bench.backend.trouble.label_studio_url, bench.backend.trouble.api_key = f"http://127.0.0.1:{free_port()}", ""


@row("token-missing", "token")
def no_token(bench: Bench) -> None:
    bench.tell(token="")


@row("token-legacy-off", "token")
def a_legacy_token(bench: Bench) -> None:
    bench.tell(token=bench.studio.sql("SELECT key FROM authtoken_token")[0][0])


@row("token-invalid", "token")
def a_token_of_another_label_studio(bench: Bench) -> None:
    bench.tell(token=forged(bench.studio.token))


@row("token-is-access", "token")
def a_short_lived_token(bench: Bench) -> None:
    url = f"{bench.studio.server.url}/api/token/refresh/"
    bench.tell(token=httpx.post(url, json={"refresh": bench.studio.token}).json()["access"])


# 6. LABEL_STUDIO_HOST


@row("host-without-scheme", "label-studio-host", setup="guarded", warns=True)
def host_without_a_scheme(bench: Bench) -> None:
    """As it is: LABEL_STUDIO_HOST=127.0.0.1:8080."""


@row("host-wrong", "label-studio-host", setup="half-open", warns=True)
def host_with_a_wrong_port(bench: Bench) -> None:
    """As it is: LABEL_STUDIO_HOST=http://127.0.0.1:9."""


@row("host-wrong", "label-studio-host", setup="proxied", warns=True)
def host_with_a_path(bench: Bench) -> None:
    """As it is: LABEL_STUDIO_HOST=http://127.0.0.1:PORT/projects/3, as copied from a browser."""


# 7. S3


def _storage(bench: Bench, endpoint: str, status: str, traceback: str) -> None:
    """As one that was made before the guard, or whose name got another address."""
    bench.studio.sql(
        "INSERT INTO io_storages_s3importstorage (title, bucket, prefix, use_blob_urls, s3_endpoint, presign, "
        "presign_ttl, recursive_scan, status, traceback, meta, synchronizable, created_at, project_id) "
        "VALUES ('lab', 'lab', '', 1, ?, 1, 1, 1, ?, ?, '{}', 1, datetime('now'), ?)",
        endpoint,
        status,
        traceback,
        bench.project,
    )


@row("storage-guarded", "storage")
def a_store_on_a_private_address(bench: Bench) -> None:
    _storage(bench, "http://10.255.255.1:9000", "completed", "")


@row("storage-failed", "storage", warns=True)
def a_store_that_refused(bench: Bench) -> None:
    _storage(bench, "http://127.0.0.1:9000", "failed", "Traceback:\nS3StorageError: Debugging info is not available")
