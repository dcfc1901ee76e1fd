"""Verifying access tokens: signature, issuer, audience, time. Pure but for the key source; roles are `callers`'.

Only asymmetric algorithms count, and a key fits the algorithm by its own kind: neither `none` nor HMAC with a
public key as the secret ever verifies, whatever the token's header says. `jku`, `jwk` and `x5u` are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from resources.errors import AuthenticationError

CLOCK_SKEW_S = 30  # between the issuer's clock and ours
TOKEN_MAX_CHARS = 16_384  # a token with hundreds of groups has some 10,000
KEY_ID_MAX_CHARS = 256
RSA_MIN_BITS = 2048
KEYS_MAX = 100  # of one issuer; those that rotate daily show three or four
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_OF_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS = _OF_RSA | set(_CURVES.values()) | {"EdDSA"}

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key and the algorithms that signatures by it may have."""

    key: PublicKey
    algorithms: frozenset[str]


class KeySource(Protocol):
    """Where an issuer's keys come from."""

    def key(self, key_id: str | None) -> VerificationKey:
        """The key of this id; without an id the issuer's only key.

        Raises:
            AuthenticationError: the issuer has no such key.
            ServiceUnavailableError: the issuer cannot be asked now.
        """


class TokenVerifier:
    """Says what an access token claims, once it is sure who signed it."""

    def __init__(self, issuer: str, audience: str, keys: KeySource) -> None:
        self.issuer = issuer
        self._audience = audience
        self._keys = keys

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token of this issuer for this audience, in force now.

        Raises:
            AuthenticationError: it is anything else.
            ServiceUnavailableError: the issuer's keys cannot be had now.
        """
        key_id, algorithm = _header_of(token)
        key = self._keys.key(key_id)
        if algorithm not in key.algorithms:
            raise AuthenticationError("the access token's algorithm is not its key's; sign in again")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self.issuer,
                leeway=CLOCK_SKEW_S,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise AuthenticationError("the access token has expired; sign in again, or refresh it") from error
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
            raise AuthenticationError(
                "the access token is not one of this platform's issuer; sign in again"
            ) from error
        if isinstance(claims["iat"], bool) or not isinstance(claims["iat"], int | float):
            raise AuthenticationError("the access token does not say when it was issued; sign in again")
        return claims


def verification_keys(document: Mapping[str, Any]) -> dict[str | None, VerificationKey]:
    """Key id → key, of a JWKS document. What is not a public signature key of ours is left out."""
    entries = document.get("keys")
    found: dict[str | None, VerificationKey] = {}
    for entry in entries[:KEYS_MAX] if isinstance(entries, list) else ():
        if isinstance(entry, dict) and (key := _verification_key(entry)) is not None:
            found[entry.get("kid") if isinstance(entry.get("kid"), str) else None] = key
    return found


def chosen_key(keys: Mapping[str | None, VerificationKey], key_id: str | None) -> VerificationKey | None:
    """The key of an id; without an id, the only key there is."""
    if key_id is None:
        return next(iter(keys.values())) if len(keys) == 1 else None
    return keys.get(key_id)


def _header_of(token: str) -> tuple[str | None, str]:
    """Key id and algorithm as the token's header has them. Nothing in it is believed yet."""
    try:
        header = jwt.get_unverified_header(token) if len(token) <= TOKEN_MAX_CHARS else {}
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        header = {}
    key_id, algorithm = header.get("kid"), header.get("alg")
    is_key_id = key_id is None or (isinstance(key_id, str) and len(key_id) <= KEY_ID_MAX_CHARS)
    if algorithm not in ALGORITHMS or not is_key_id or "crit" in header:
        raise AuthenticationError(
            "present an access token of the platform's issuer as `Authorization: Bearer …`"
        )
    return key_id, str(algorithm)


def _verification_key(entry: dict[str, Any]) -> VerificationKey | None:
    if entry.get("kty") not in {"RSA", "EC", "OKP"} or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    try:
        key = jwt.PyJWK.from_dict(entry).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    algorithms = _algorithms_of(key)
    if isinstance(entry.get("alg"), str):
        algorithms &= {entry["alg"]}
    return VerificationKey(key, algorithms) if algorithms else None


def _algorithms_of(key: object) -> frozenset[str]:
    if isinstance(key, RSAPublicKey):
        return _OF_RSA if key.key_size >= RSA_MIN_BITS else frozenset()
    if isinstance(key, EllipticCurvePublicKey):
        return frozenset({_CURVES[key.curve.name]}) if key.curve.name in _CURVES else frozenset()
    return frozenset({"EdDSA"}) if isinstance(key, Ed25519PublicKey) else frozenset()
