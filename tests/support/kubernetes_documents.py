"""What the Kubernetes API stand-in says of itself: discovery, as much OpenAPI as is asked for, its certificate."""

from __future__ import annotations

import datetime as dt
import ssl
import tempfile
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.kubernetes_objects import KINDS, Object

VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def group(group_version: str) -> Object:
    group, version = group_version.split("/")
    preferred = {"groupVersion": group_version, "version": version}
    return {"name": group, "versions": [preferred], "preferredVersion": preferred}


def root(group_version: str) -> str:
    return f"apis/{group_version}" if "/" in group_version else f"api/{group_version}"


def openapi(group_version: str) -> Object:
    """As much as tells a client that the server checks fields itself, so that it need not."""
    parts = group_version.split("/")
    group, version = ("", parts[0]) if len(parts) == 1 else parts
    field_validation = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
    paths = {}
    for kind in KINDS:
        if kind.group_version == group_version:
            place = "namespaces/{namespace}/" if kind.is_namespaced else ""
            named = {"group": group, "version": version, "kind": kind.kind}
            paths[f"/{root(group_version)}/{place}{kind.plural}/{{name}}"] = {
                "patch": {
                    "x-kubernetes-group-version-kind": named,
                    "parameters": field_validation,
                    "responses": {"200": {"description": "OK"}},
                }
            }
    return {"openapi": "3.0.0", "info": {"title": "stand-in", "version": "v1.34.0"}, "paths": paths}


def resource_list(group_version: str) -> Object:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": [
            {
                "name": kind.plural,
                "singularName": kind.kind.lower(),
                "namespaced": kind.is_namespaced,
                "kind": kind.kind,
                "verbs": VERBS,
            }
            for kind in KINDS
            if kind.group_version == group_version
        ],
    }


def self_signed() -> tuple[str, str]:
    """A certificate of 127.0.0.1 and its key, PEM: clients send no token where there is no TLS."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes stand-in")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encodings = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return certificate.public_bytes(encodings[0]).decode(), key.private_bytes(*encodings).decode()


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(certificate + key)
        file.flush()
        context.load_cert_chain(file.name)
    return context
