"""A stand-in for an S3 store such as MinIO: a real HTTP server with the calls that Label Studio makes of one.

It keeps objects in memory, and takes no request that is not signed with its keys (Signature Version 4,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

KEY_ID, SECRET = "stand-in-key", "stand-in/secret+key"
MOMENT = "2026-01-01T00:00:00.000Z"


@dataclass
class Store:
    """Objects by bucket and key; `seen` are (method, path) of what was let in."""

    url: str = ""
    buckets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    secret: str = SECRET
    read_only: bool = False
    seen: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def running(host: str = "127.0.0.1") -> Iterator[Store]:
    store = Store()
    server = ThreadingHTTPServer((host, 0), type("Handler", (_Handler,), {"store": store}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    store.url = f"http://{host}:{server.server_address[1]}"
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    store: Store
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def _serve(self) -> None:
        body = self._body()
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        if not self._signed(parts.path, query):
            return self._fail(403, "SignatureDoesNotMatch")
        self.store.seen.append((self.command, unquote(parts.path)))
        if bucket not in self.store.buckets:
            return self._fail(404, "NoSuchBucket")
        objects = self.store.buckets[bucket]
        if self.command in ("PUT", "DELETE") and self.store.read_only:
            return self._fail(403, "AccessDenied")
        if self.command == "PUT":
            objects[key] = body
            return self._answer(200)
        if self.command == "DELETE":
            objects.pop(key, None)
            return self._answer(204)
        if not key:
            return self._answer(200, _listing(bucket, objects, query))
        if key not in objects:
            return self._fail(404, "NoSuchKey")
        kind = query.get("response-content-type", "application/octet-stream")
        return self._answer(200, objects[key], kind)

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return body
        size, _, rest = body.partition(b"\r\n")
        return rest[: int(size.partition(b";")[0], 16)]

    def _signed(self, path: str, query: dict[str, str]) -> bool:
        """Whether the request bears the signature that the secret gives it, in a header or in the query."""
        header = self.headers.get("Authorization", "")
        told = dict(part.strip().split("=", 1) for part in header.partition(" ")[2].split(",") if "=" in part)
        signature = told.get("Signature") or query.get("X-Amz-Signature", "")
        credential = told.get("Credential") or query.get("X-Amz-Credential", "")
        names = told.get("SignedHeaders") or query.get("X-Amz-SignedHeaders", "")
        moment = self.headers.get("X-Amz-Date") or query.get("X-Amz-Date", "")
        if not credential.startswith(f"{KEY_ID}/"):
            return False
        rest = sorted(
            (quote(n, safe="-_.~"), quote(v, safe="-_.~")) for n, v in query.items() if n != "X-Amz-Signature"
        )
        canonical = "\n".join(
            (
                self.command,
                path,
                "&".join(f"{name}={value}" for name, value in rest),
                *(f"{name}:{' '.join(self.headers.get(name, '').split())}" for name in names.split(";")),
                "",
                names,
                self.headers.get("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD"),
            )
        )
        scope = credential.partition("/")[2]
        to_sign = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        key = b"AWS4" + self.store.secret.encode()
        for part in (*scope.split("/"), to_sign):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.compare_digest(key.hex(), signature)

    def _fail(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())

    def _answer(self, status: int, body: bytes = b"", kind: str = "application/xml") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"')
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _listing(bucket: str, objects: dict[str, bytes], query: dict[str, Any]) -> bytes:
    """ListObjects, of either version."""
    prefix = query.get("prefix", "")
    found = sorted(key for key in objects if key.startswith(prefix))[: int(query.get("max-keys", 1000))]
    rows = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>{MOMENT}</LastModified><ETag>&quot;0&quot;</ETag>"
        f"<Size>{len(objects[key])}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key in found
    )
    head = f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix><IsTruncated>false</IsTruncated>"
    return f"<ListBucketResult>{head}<KeyCount>{len(found)}</KeyCount>{rows}</ListBucketResult>".encode()
