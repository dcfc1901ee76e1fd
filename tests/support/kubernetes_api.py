"""A Kubernetes API over HTTP, small but real: discovery, create, get, list, watch, patch, apply, delete.

It records every call, asks for its bearer token, and keeps objects as `kubernetes_objects` says. Helm's own
engine and lightkube talk to it as to a cluster.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from tests.support.kubernetes_documents import group, openapi, resource_list, root, self_signed, tls_context
from tests.support.kubernetes_objects import KINDS, ConflictError, Kind, NotFoundError, Object, Objects
from tests.support.kubernetes_protobuf import secret_of

PATH = re.compile(
    r"/(?:api|apis)/(?P<version>v1|[a-z0-9.]+/v[0-9][a-z0-9]*)"
    r"(?:/namespaces/(?P<namespace>[a-z0-9-]+)(?=/))?"
    r"/(?P<plural>[a-z]+)(?:/(?P<name>[a-z0-9.-]+))?"
)


@dataclass
class KubernetesApi:
    """A running stand-in."""

    url: str
    token: str
    certificate: str
    objects: Objects = field(default_factory=Objects)
    calls: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    refused: int = 0
    is_down: bool = False
    kill_at_write: tuple[int, int] | None = None  # (writes still let through, pid): then kill -9

    def writes(self) -> list[tuple[str, str]]:
        """The calls that may have changed something."""
        return [call for call in self.calls if call[0] != "GET"]

    def _authority(self) -> str:
        return base64.b64encode(self.certificate.encode()).decode()

    def kubeconfig(self, directory: Path, namespace: str = "default") -> Path:
        """A kubeconfig of this server."""
        path = directory / "kubeconfig.json"
        cluster = {"server": self.url, "certificate-authority-data": self._authority()}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": self.token}}],
            "contexts": [
                {"name": "here", "context": {"cluster": "here", "user": "me", "namespace": namespace}}
            ],
            "current-context": "here",
        }
        path.write_text(json.dumps(document))
        return path


@contextmanager
def kubernetes_api() -> Iterator[KubernetesApi]:
    """A stand-in that serves until the block ends."""
    certificate, key = self_signed()
    api = KubernetesApi("", secrets.token_urlsafe(16), certificate)
    ending = threading.Event()

    class Handler(_Handler):
        pass

    Handler.api, Handler.ending = api, ending
    server = _Server(("127.0.0.1", 0), Handler)
    server.socket = tls_context(certificate, key).wrap_socket(server.socket, server_side=True)
    api.url = f"https://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield api
    finally:
        ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A watcher that hangs up is no error; anything else is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type] # typeshed narrows both


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    api: KubernetesApi
    ending: threading.Event

    def log_message(self, *_: object) -> None:
        """Say nothing: `calls` has it."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_PATCH(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        split = urlsplit(self.path)
        query = dict(parse_qsl(split.query))
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        if self.api.is_down:
            self._status(503, "ServiceUnavailable", "the stand-in is down")
            return
        if self.headers.get("Authorization") != f"Bearer {self.api.token}":
            self.api.refused += 1
            self._status(401, "Unauthorized", "no or another token")
            return
        self.api.calls.append((self.command, split.path))
        self.api.bodies.append(raw)
        if self.command != "GET" and self._kills():
            self.close_connection = True
            return
        try:
            if not self._discovered(split.path):
                self._resource(split.path, query, self._object(raw))
        except NotFoundError as error:
            self._status(404, "NotFound", str(error))
        except ConflictError as error:
            self._status(409, "AlreadyExists", str(error))

    def _kills(self) -> bool:
        """Whether the client was killed instead of being answered; the write is done or not, as it happens."""
        if self.api.kill_at_write is None:
            return False
        left, pid = self.api.kill_at_write
        self.api.kill_at_write = (left - 1, pid)
        if left == 0:
            os.kill(pid, signal.SIGKILL)
        return left <= 0

    def _object(self, raw: bytes) -> Object:
        if self.command == "DELETE" or not raw:
            return {}
        if self.headers.get("Content-Type") == "application/vnd.kubernetes.protobuf":
            return secret_of(raw)
        document: Object = yaml.safe_load(raw)  # JSON is YAML
        return document

    def _discovered(self, path: str) -> bool:
        versions = sorted({kind.group_version for kind in KINDS})
        if path == "/version":
            self._send(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
        elif path == "/api":
            self._send(200, {"kind": "APIVersions", "versions": ["v1"]})
        elif path == "/apis":
            self._send(
                200,
                {
                    "kind": "APIGroupList",
                    "apiVersion": "v1",
                    "groups": [group(version) for version in versions if "/" in version],
                },
            )
        elif (version := path.removeprefix("/apis/").removeprefix("/api/")) in versions:
            self._send(200, resource_list(version))
        elif path == "/openapi/v3":
            documents = {
                root(version): {"serverRelativeURL": f"/openapi/v3/{root(version)}"} for version in versions
            }
            self._send(200, {"paths": documents})
        elif (version := path.removeprefix("/openapi/v3/apis/").removeprefix("/openapi/v3/api/")) in versions:
            self._send(200, openapi(version))
        else:
            return False
        return True

    def _resource(self, path: str, query: dict[str, str], body: Object) -> None:
        found = PATH.fullmatch(path)
        kind = next(
            (
                kind
                for kind in KINDS
                if found and (kind.group_version, kind.plural) == (found["version"], found["plural"])
            ),
            None,
        )
        if found is None or kind is None:
            raise NotFoundError(f"the server could not find the requested resource {path}")
        namespace, name, objects = found["namespace"] or "", found["name"], self.api.objects
        if self.command == "GET" and query.get("watch") in {"1", "true"}:
            self._watch(kind, namespace, query)
        elif self.command == "GET" and name:
            self._send(200, objects.get(kind, namespace, name))
        elif self.command == "GET":
            self._send(200, self._list(kind, namespace, query.get("labelSelector", "")))
        elif self.command == "POST":
            self._send(201, objects.create(kind, namespace, body))
        elif self.command == "PUT":
            self._send(200, objects.replace(kind, namespace, name, body))
        elif self.command == "PATCH":
            is_apply = "apply-patch" in self.headers.get("Content-Type", "")
            self._send(200, objects.patch(kind, namespace, name, body, may_create=is_apply))
        else:
            self._send(200, objects.delete(kind, namespace, name))

    def _list(self, kind: Kind, namespace: str, selector: str) -> Object:
        return {
            "kind": f"{kind.kind}List",
            "apiVersion": kind.group_version,
            "metadata": {"resourceVersion": str(self.api.objects.version)},
            "items": self.api.objects.list(kind, namespace, selector),
        }

    def _watch(self, kind: Kind, namespace: str, query: dict[str, str]) -> None:
        if query.get("sendInitialEvents") == "true":  # the client lists then, as with an older server
            self._status(422, "Invalid", "sendInitialEvents is forbidden")
            return
        since = int(query.get("resourceVersion") or 0)
        deadline_s = time.monotonic() + float(query.get("timeoutSeconds") or 60)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        told = 0
        try:
            while not self.ending.is_set() and time.monotonic() < deadline_s:
                with self.api.objects.changed:
                    self.api.objects.changed.wait(0.1)
                    news, told = self.api.objects.changes[told:], len(self.api.objects.changes)
                for change in news:
                    its_namespace = change.object["metadata"].get("namespace", "")
                    if change.version > since and change.kind == kind and namespace in {"", its_namespace}:
                        self._chunk({"type": change.what, "object": change.object})
            self._chunk(None)
        except OSError:
            self.close_connection = True  # the watcher has seen enough

    def _chunk(self, event: Object | None) -> None:
        line = b"" if event is None else json.dumps(event).encode() + b"\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.flush()

    def _status(self, code: int, reason: str, message: str) -> None:
        self._send(
            code,
            {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": reason,
                "code": code,
                "message": message,
            },
        )

    def _send(self, code: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
