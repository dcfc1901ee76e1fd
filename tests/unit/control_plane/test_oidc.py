"""Access tokens of an OIDC issuer elsewhere: a real one on a real port, and everything that is not its token."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt.warnings import InsecureKeyLengthWarning

from control_plane.app import create_app
from control_plane.issuer_keys import ASK_AGAIN_S, STALE_MAX_S, DiscoveredKeys
from resources.errors import AuthenticationError, ServiceUnavailableError
from resources.registry import Registry
from resources.settings import Settings
from tests.support.control_plane_server import problem
from tests.support.oidc_server import Issuer, SigningKey, forged, oidc_server, rsa_key
from tests.support.served_app import served


@dataclass
class World:
    """An issuer, and a control plane that takes its tokens."""

    issuer: Issuer
    client: httpx.Client
    registry: Registry

    def me(self, token: str) -> httpx.Response:
        """Who the token speaks for."""
        return self.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with oidc_server() as issuer:
        yield issuer


@contextlib.contextmanager
def running(issuer: Issuer, settings: Settings) -> Iterator[World]:
    """A control plane over the issuer."""
    here = settings.with_changes(
        oidc_issuer=issuer.url, revocation_poll_s=0.05, oidc_roles_claim="realm_access.roles"
    )
    registry = Registry.from_settings(here)
    registry.migrate()
    registry.request("t1", "starter", "test")
    with served(create_app(here, registry)) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield World(issuer, client, registry)
    registry.close()


@pytest.fixture
def world(issuer: Issuer, settings: Settings) -> Iterator[World]:
    with running(issuer, settings) as world:
        yield world


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world for tests that leave the issuer as it is."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    with oidc_server() as issuer, running(issuer, settings) as world:
        yield world


def test_a_token_of_the_issuer_is_taken_with_roles_and_tenant_from_its_claims(standing: World) -> None:
    token = standing.issuer.token(realm_access={"roles": ["support", "offline_access"]}, roles=None)
    assert standing.me(token).json() == {"actor": "user:ann", "platformRoles": ["support"], "tenantRoles": {}}
    token = standing.issuer.token(realm_access={"roles": ["tenant_admin", "tenant_app"]}, tenant=["t1", "t2"])
    both = ["tenant_admin", "tenant_app"]
    assert standing.me(token).json()["tenantRoles"] == {"t1": both, "t2": both}
    assert (
        standing.client.get("/v1/tenants/t1", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    )
    nobody = standing.issuer.token(realm_access={"roles": ["platform_admin "]}, tenant="t1")
    assert standing.me(nobody).json()["tenantRoles"] == {}


@pytest.mark.parametrize(
    "key",
    [
        SigningKey(ec.generate_private_key(ec.SECP256R1()), "ES256"),
        SigningKey(ec.generate_private_key(ec.SECP384R1()), "ES384"),
        SigningKey(ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
        SigningKey(rsa_key().key, "PS256"),
    ],
    ids=lambda key: key.algorithm,
)
def test_every_asymmetric_algorithm_that_issuers_use_is_taken(world: World, key: SigningKey) -> None:
    world.issuer.keys = [key]
    assert world.me(world.issuer.token()).status_code == 200


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example"},
    "another audience": {"aud": "another-application"},
    "no audience": {"aud": None},
    "expired": {"exp": int(time.time()) - 31},
    "no expiry": {"exp": None},
    "not yet": {"nbf": int(time.time()) + 3600},
    "issued in the future": {"iat": int(time.time()) + 3600},
    "no moment": {"iat": None},
    "no subject": {"sub": None},
    "an empty subject": {"sub": " "},
    "a subject with a line break": {"sub": "ann\nadmin"},
    "a subject too long for the trail": {"sub": "a" * 300},
}


@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG.keys())
def test_a_token_that_is_not_for_here_and_now_is_refused(standing: World, claims: dict[str, Any]) -> None:
    problem(standing.me(standing.issuer.token(**claims)), 401)


def test_clocks_may_differ_by_half_a_minute(standing: World) -> None:
    now_s = int(time.time())
    assert standing.me(standing.issuer.token(exp=now_s - 15)).status_code == 200
    assert standing.me(standing.issuer.token(nbf=now_s + 15, iat=now_s + 15)).status_code == 200


def test_forged_tokens_of_every_kind_are_refused(standing: World) -> None:
    issuer = standing.issuer
    good, key = issuer.token(), issuer.keys[0]
    head, body, _ = good.split(".")
    claims = issuer.claims()
    strange = rsa_key()
    strange.key_id = key.key_id
    forgeries = {
        "alg none": forged({"alg": "none", "kid": key.key_id}, claims, None),
        "alg None": forged({"alg": "None", "kid": key.key_id}, claims, None),
        "HS256 with the public key": forged({"alg": "HS256", "kid": key.key_id}, claims, key.public_pem()),
        "RS256 said, HMAC made": forged({"alg": "RS256", "kid": key.key_id}, claims, key.public_pem()),
        "HS256 with the kid": forged({"alg": "HS256", "kid": key.key_id}, claims, key.key_id.encode()),
        "no signature": f"{head}.{body}.",
        "another key under the same id": issuer.token(strange),
        "a key in the header": issuer.token(strange, headers={"jwk": strange.public_jwk()}),
        "a key elsewhere": issuer.token(strange, headers={"jku": f"{issuer.url}/evil", "x5u": issuer.url}),
        "an unknown kid": issuer.token(headers={"kid": "unknown"}),
        "a kid that climbs": issuer.token(headers={"kid": "../../../../dev/null"}),
        "a kid that is SQL": issuer.token(headers={"kid": "' OR 1=1 --"}),
        "critical extensions": issuer.token(headers={"crit": ["exp"]}),
        "an algorithm that is not the key's": forged({"alg": "ES256", "kid": key.key_id}, claims, b"x"),
        "an endless kid": issuer.token(headers={"kid": "k" * 5000}),
        "endless": issuer.token(padding="x" * 20_000),
        "not a token": "a.b.c",
    }
    assert standing.me(good).status_code == 200
    for name, token in forgeries.items():
        answer = standing.me(token)
        assert answer.status_code == 401, name
        assert answer.headers["www-authenticate"] == "Bearer"
    entries = standing.registry.audit(limit=1000)
    assert {entry.action for entry in entries} >= {"access.denied"}
    assert not any(token and token in repr(entries) for token in forgeries.values())


def test_symmetric_private_and_weak_keys_of_the_issuer_never_verify(world: World) -> None:
    weak, honest = rsa_key(1024), rsa_key()
    secret = b"a shared secret of thirty-two by"
    world.issuer.extra_jwks = [
        {"kty": "oct", "kid": "shared", "k": "YSBzaGFyZWQgc2VjcmV0IG9mIHRoaXJ0eS10d28gYnk", "alg": "HS256"},
        {**honest.public_jwk(), "kid": "for encryption", "use": "enc"},
        "no key at all",
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
    ]
    world.issuer.keys.append(weak)
    hmac_token = forged({"alg": "HS256", "kid": "shared"}, world.issuer.claims(), secret)
    problem(world.me(hmac_token), 401)
    with pytest.warns(InsecureKeyLengthWarning):
        weakly_signed = world.issuer.token(weak)
    problem(world.me(weakly_signed), 401)
    problem(world.me(world.issuer.token(honest, headers={"kid": "for encryption"})), 401)
    assert world.me(world.issuer.token(world.issuer.keys[0])).status_code == 200


def test_an_issuer_that_is_down_means_503_until_there_were_keys_and_they_go_on(
    settings: Settings, issuer: Issuer
) -> None:
    clock = [0.0]
    keys = DiscoveredKeys(issuer.url, ttl_s=60, clock=lambda: clock[0])
    issuer.status = 500
    with pytest.raises(ServiceUnavailableError, match="identity provider"):
        keys.key(issuer.keys[0].key_id)
    issuer.status, clock[0] = 200, ASK_AGAIN_S + 1
    assert keys.key(issuer.keys[0].key_id).algorithms >= {"RS256"}
    issuer.status, clock[0] = 503, 3600.0
    assert keys.key(issuer.keys[0].key_id).algorithms >= {"RS256"}, "cached keys go on"
    with pytest.raises(ServiceUnavailableError):
        keys.key("rotated-while-down")
    clock[0] = STALE_MAX_S + ASK_AGAIN_S + 2
    with pytest.raises(ServiceUnavailableError):
        keys.key(issuer.keys[0].key_id)


def test_over_http_a_missing_issuer_is_503_with_retry_after(world: World) -> None:
    token = world.issuer.token()
    world.issuer.status = 502
    answer = world.me(token)
    assert problem(answer, 503)["detail"].startswith("the identity provider")
    assert int(answer.headers["retry-after"]) > 0


def test_a_rotated_key_is_found_by_asking_again_and_a_flood_of_unknown_ones_asks_once(issuer: Issuer) -> None:
    clock = [0.0]
    keys = DiscoveredKeys(issuer.url, ttl_s=600, clock=lambda: clock[0])
    keys.key(issuer.keys[0].key_id)
    asked = issuer.asked
    keys.key(issuer.keys[0].key_id)
    assert issuer.asked == asked, "the second time from the cache"
    issuer.keys = [rsa_key()]
    clock[0] = ASK_AGAIN_S + 1
    keys.key(issuer.keys[0].key_id)
    asked = issuer.asked
    for number in range(50):
        with pytest.raises(AuthenticationError):
            keys.key(f"forged-{number}")
    assert issuer.asked == asked
    clock[0] = 602 + ASK_AGAIN_S
    keys.key(issuer.keys[0].key_id)
    assert issuer.asked == asked + 2, "a key that was withdrawn is forgotten after ttl_s"


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "http://evil.example/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
    ],
)
def test_a_discovery_document_that_leads_astray_is_not_followed(
    issuer: Issuer, metadata: dict[str, Any]
) -> None:
    issuer.metadata = metadata
    with pytest.raises(ServiceUnavailableError):
        DiscoveredKeys(issuer.url, ttl_s=60).key(issuer.keys[0].key_id)


def test_a_subject_s_tokens_are_revoked_at_once_and_new_ones_count(standing: World) -> None:
    admin = {
        "Authorization": f"Bearer {standing.issuer.token(sub='root', realm_access={'roles': ['platform_admin']})}"
    }
    token = standing.issuer.token(sub="eve", iat=int(time.time()) - 5)
    assert standing.me(token).status_code == 200
    answer = standing.client.post("/v1/revocations", json={"subject": "eve", "reason": "left"}, headers=admin)
    assert answer.status_code == 204
    time.sleep(0.1)  # the poll of this test's settings
    problem(standing.me(token), 401)
    assert standing.me(standing.issuer.token(sub="eve", iat=int(time.time()) + 2)).status_code == 200
    [entry] = [one for one in standing.registry.audit(limit=1000) if one.action == "session.revoked"]
    assert (entry.actor, entry.reason, entry.after) == ("user:root", "left", {"subject": "user:eve"})


def test_users_and_sign_in_are_the_issuer_s_business(standing: World) -> None:
    admin = {"Authorization": f"Bearer {standing.issuer.token(realm_access={'roles': ['platform_admin']})}"}
    problem(standing.client.get("/v1/users", headers=admin), 409)
    problem(standing.client.get("/v1/tenants/t1/users", headers=admin), 409)
    problem(standing.client.get("/.well-known/jwks.json"), 404)
    problem(standing.client.post("/oauth/token", data={"grant_type": "password"}), 404)
