"""An OIDC issuer on a real port: its documents can be changed, its keys rotated, itself taken down. No assertions."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.served_app import served

AUDIENCE = "unmogrowp"
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass
class SigningKey:
    """A key of the issuer, by its id, and how it signs."""

    key: PrivateKey
    algorithm: str
    key_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def public_jwk(self) -> dict[str, Any]:
        """The public half as JWKS documents have it."""
        kinds: dict[str, Any] = {
            "RS": RSAAlgorithm,
            "PS": RSAAlgorithm,
            "ES": ECAlgorithm,
            "Ed": OKPAlgorithm,
        }
        jwk = json.loads(kinds[self.algorithm[:2]].to_jwk(self.key.public_key()))
        return {**jwk, "kid": self.key_id, "use": "sig"}

    def public_pem(self) -> bytes:
        """The public half as text, which key confusion takes for an HMAC secret."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Issuer:
    """A running issuer. `status` other than 200: it answers so; `asked` counts its requests."""

    url: str = ""
    keys: list[SigningKey] = field(default_factory=list)
    extra_jwks: list[Any] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    asked: int = 0

    def token(
        self, key: SigningKey | None = None, *, headers: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A token that is right but for what is given; a claim that is None is left out."""
        key = key or self.keys[-1]
        given = {**self.claims(), **claims}
        payload = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(payload, key.key, key.algorithm, headers={"kid": key.key_id, **(headers or {})})

    def claims(self) -> dict[str, Any]:
        """Claims of a platform administrator, issued now."""
        now_s = int(time.time())
        return {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann",
            "iat": now_s,
            "exp": now_s + 600,
            "roles": ["platform_admin"],
        }


def rsa_key(bits: int = 2048) -> SigningKey:
    """A new RSA key."""
    return SigningKey(rsa.generate_private_key(65537, bits), "RS256")


@cache
def first_key() -> SigningKey:
    """The key that every issuer begins with: making one takes half a second."""
    return rsa_key()


def forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None) -> str:
    """A token put together by hand: without a signature, or with an HMAC."""
    signed = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
    digest = b"" if secret is None else hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{_base64(digest)}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@contextlib.contextmanager
def oidc_server(port: int = 0) -> Iterator[Issuer]:
    """A running issuer with one RSA key."""
    issuer = Issuer(keys=[first_key()])

    async def discovery(_request: Request) -> Response:
        issuer.asked += 1
        document = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys", **issuer.metadata}
        return JSONResponse(document, status_code=issuer.status)

    async def keys(_request: Request) -> Response:
        issuer.asked += 1
        shown = [key.public_jwk() for key in issuer.keys]
        return JSONResponse({"keys": [*issuer.extra_jwks, *shown]}, status_code=issuer.status)

    app = Starlette(routes=[Route("/.well-known/openid-configuration", discovery), Route("/keys", keys)])
    with served(app, port) as url:
        issuer.url = url
        yield issuer
