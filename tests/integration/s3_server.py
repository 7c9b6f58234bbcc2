# SPDX-License-Identifier: Apache-2.0
"""A small S3-compatible store for tests: PUT, GET with ranges, DELETE and ListObjectsV2, each signature checked.

The check is written from the description of AWS Signature Version 4, apart from the client's: a request that is not signed
as it should be, or whose body is not what its digest says, gets 403 or 400.
"""
import hashlib
import hmac
import http.server
import threading
import urllib.parse
from xml.sax.saxutils import escape

ACCESS_KEY = "AKIATESTACCESS"
SECRET_KEY = "test+secret/key"
REGION = "eu-test-1"


def signature(secret: str, scope: list[str], text: str) -> str:
    key = ("AWS4" + secret).encode()
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status: int, body: bytes = b"", **headers) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, code: str, message: str = "") -> None:
        text = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>'
        self.answer(status, text.encode())

    def is_signed(self, body: bytes) -> bool:
        """Whether the Authorization header is what the secret key makes of the request."""
        kind, _, rest = self.headers.get("Authorization", "").partition(" ")
        if kind != "AWS4-HMAC-SHA256":
            return False
        fields = dict(part.strip().split("=", 1) for part in rest.split(","))
        access_key, *scope = fields["Credential"].split("/")
        if access_key != ACCESS_KEY or scope[1:] != [REGION, "s3", "aws4_request"]:
            return False
        path, _, query = self.path.partition("?")
        names = fields["SignedHeaders"].split(";")
        if not {"host", "x-amz-content-sha256", "x-amz-date"} <= set(names):
            return False
        pairs = sorted(pair if "=" in pair else pair + "=" for pair in query.split("&") if pair)
        headers = "".join(f"{name}:{' '.join(self.headers.get(name, '').split())}\n" for name in names)
        digest = self.headers["x-amz-content-sha256"]
        request = "\n".join([self.command, path, "&".join(pairs), headers, ";".join(names), digest])
        text = "\n".join([kind, self.headers["x-amz-date"], "/".join(scope),
                          hashlib.sha256(request.encode()).hexdigest()])
        return (hmac.compare_digest(signature(SECRET_KEY, scope, text), fields["Signature"])
                and digest == hashlib.sha256(body).hexdigest())

    def take(self) -> tuple[str, dict] | None:
        """The key and the query of a request that is to be served."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        store = self.server.store
        store.requests += 1
        if store.failures > 0:
            store.failures -= 1
            self.refuse(503, "SlowDown", "try again")
            return None
        if not self.is_signed(body):
            store.refused += 1
            self.refuse(403, "SignatureDoesNotMatch", "the signature is another")
            return None
        path, _, query = self.path.partition("?")
        bucket, _, key = urllib.parse.unquote(path.lstrip("/")).partition("/")
        if bucket != store.bucket:
            self.refuse(404, "NoSuchBucket")
            return None
        self.body = body
        return key, dict(urllib.parse.parse_qsl(query))

    def do_PUT(self):
        taken = self.take()
        if taken is None:
            return
        if self.server.store.is_full:
            self.refuse(507, "InsufficientStorage", "no room")
            return
        self.server.store.objects[taken[0]] = self.body
        self.answer(200)

    def do_DELETE(self):
        taken = self.take()
        if taken is not None:
            self.server.store.objects.pop(taken[0], None)
            self.answer(204)

    def do_GET(self):
        taken = self.take()
        if taken is None:
            return
        key, query = taken
        if not key:
            self.list(query)
            return
        data = self.server.store.objects.get(key)
        if data is None:
            self.refuse(404, "NoSuchKey")
            return
        wanted = self.headers.get("Range")
        if wanted is None:
            self.answer(200, data)
            return
        first, last = (int(part) for part in wanted.removeprefix("bytes=").split("-"))
        if first >= len(data):
            self.refuse(416, "InvalidRange")
            return
        last = min(last, len(data) - 1)
        self.answer(206, data[first:last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}")

    def list(self, query: dict) -> None:
        prefix, after = query.get("prefix", ""), query.get("continuation-token", query.get("start-after", ""))
        keys = sorted(key for key in self.server.store.objects if key.startswith(prefix) and key > after)
        page = keys[:min(int(query.get("max-keys", 1000)), self.server.store.page)]
        rows = "".join(f"<Contents><Key>{escape(key)}</Key><Size>{len(self.server.store.objects[key])}</Size></Contents>"
                       for key in page)
        more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if len(page) < len(keys) else ""
        text = (f'<?xml version="1.0"?><ListBucketResult><IsTruncated>{"true" if more else "false"}</IsTruncated>'
                f"{more}{rows}</ListBucketResult>")
        self.answer(200, text.encode())


class S3Server:
    """On a port of its own, until close."""

    def __init__(self, bucket: str = "vault", page: int = 7):
        self.bucket, self.page = bucket, page
        self.objects: dict[str, bytes] = {}
        self.requests = self.refused = self.failures = 0
        self.is_full = False
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.store = self
        self.endpoint = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
