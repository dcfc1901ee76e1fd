"""The embedded stack's own OIDC issuer: signing in, refreshing, signing out, over users in the registry.

Access tokens are EdDSA JWTs of ten minutes. The private keys are in HOME/secrets; the newest signs. HTTP is
`sign_in_routes`'; on many machines an issuer of the company's own stands in its place (`UNMOGROWP_OIDC_ISSUER`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from control_plane.callers import SESSION_CLAIM, TENANT_ROLES_CLAIM
from control_plane.tokens import VerificationKey, chosen_key, verification_keys
from resources.errors import AuthenticationError
from resources.failure_brake import FailureBrake
from resources.registry import Registry
from resources.registry.passwords import password_fits
from resources.registry.session_store import SESSION_MAX_AGE
from resources.registry.user_store import User
from resources.settings import Settings

KEYS_FILE = "issuer_keys.json"  # in HOME/secrets: {"keys": [private JWK, …]}, the newest last
WRONG = "user or password is wrong"


@dataclass(frozen=True, slots=True)
class IssuedTokens:
    """What a sign-in or a refresh gives."""

    access_token: str
    expires_in_s: int
    refresh_token: str
    refresh_expires_in_s: int


def new_signing_keys() -> str:
    """The content of a new keys file: one Ed25519 key, named by its thumbprint."""
    key = Ed25519PrivateKey.generate()
    jwk = json.loads(OKPAlgorithm.to_jwk(key))
    jwk |= {"kid": _thumbprint(jwk), "use": "sig", "alg": "EdDSA"}
    return json.dumps({"keys": [jwk]})


class LocalIssuer:
    """Issues tokens for users of the registry. It is its own key source."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._registry = registry
        self._audience = settings.oidc_audience
        self._ttl_s = settings.access_token_ttl_s
        self._keys: list[dict[str, Any]] = json.loads(settings.first_run_secret(KEYS_FILE, new_signing_keys))[
            "keys"
        ]
        self._verification_keys = verification_keys(self.jwks())
        self._brake = FailureBrake()
        self.url = local_issuer_url(settings)

    def jwks(self) -> dict[str, Any]:
        """The public keys."""
        return {"keys": [{name: part for name, part in key.items() if name != "d"} for key in self._keys]}

    def metadata(self) -> dict[str, Any]:
        """The discovery document."""
        return {
            "issuer": self.url,
            "token_endpoint": f"{self.url}/oauth/token",
            "jwks_uri": f"{self.url}/.well-known/jwks.json",
            "grant_types_supported": ["password", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["none"],
            "id_token_signing_alg_values_supported": ["EdDSA"],
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
        }

    def key(self, key_id: str | None) -> VerificationKey:
        """One of our own keys.

        Raises:
            AuthenticationError: there is none of that id.
        """
        if (found := chosen_key(self._verification_keys, key_id)) is None:
            raise AuthenticationError(
                "the access token is not signed by this platform's issuer; sign in again"
            )
        return found

    def sign_in(self, name: str, password: str, client: str) -> IssuedTokens:
        """Tokens of a user whose password this is. An unknown user takes as long as a wrong password.

        Raises:
            AuthenticationError: user or password is wrong, or the user is disabled.
            TooManyFailuresError: this client guessed too often.
        """
        guess = (name, client)
        self._brake.count(guess)
        if not password_fits(password, self._registry.password_hash_of(name)):
            raise AuthenticationError(WRONG)
        self._brake.clear(guess)
        session_id, refresh_token = self._registry.start_session(name)
        return self._issued(self._registry.user(name), session_id, refresh_token)

    def refresh(self, refresh_token: str) -> IssuedTokens:
        """The next tokens of a running sign-in; roles are those of now.

        Raises:
            AuthenticationError: the sign-in is over.
        """
        name, session_id, following = self._registry.continue_session(refresh_token)
        return self._issued(self._registry.user(name), session_id, following)

    def _issued(self, user: User, session_id: str, refresh_token: str) -> IssuedTokens:
        now_s = time.time()
        claims = {
            "iss": self.url,
            "aud": self._audience,
            "sub": user.name,
            "iat": now_s,  # with its fraction: revocations are exact to the moment
            "nbf": int(now_s),
            "exp": int(now_s) + self._ttl_s,
            "jti": secrets.token_hex(16),
            SESSION_CLAIM: session_id,
            "roles": list(user.platform_roles),
            TENANT_ROLES_CLAIM: user.tenant_roles,
        }
        newest = self._keys[-1]
        token = jwt.encode(
            claims, jwt.PyJWK.from_dict(newest), algorithm="EdDSA", headers={"kid": newest["kid"]}
        )
        return IssuedTokens(token, self._ttl_s, refresh_token, int(SESSION_MAX_AGE.total_seconds()))


def local_issuer_url(settings: Settings) -> str:
    """What our own tokens' `iss` says, and where the control plane answers."""
    return f"http://{settings.bind_host}:{settings.control_plane_port}"


def _thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638 with RFC 8037's members of an OKP key."""
    members = {name: jwk[name] for name in ("crv", "kty", "x")}
    digest = hashlib.sha256(json.dumps(members, sort_keys=True, separators=(",", ":")).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
