"""Pseudonyms and sealing: what turns personal values into keyed tokens, and bodies into ciphertext.

Keys are derived from the settings' keyring per tenant and purpose (HKDF-SHA-256), so no tenant's tokens can
be compared with another's. Which fields are personal is the event schemas' business; where originals are kept
is `resources.vault`'s.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from resources.errors import ArtifactCorruptError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_BYTES = 32
NONCE_BYTES = 12  # AES-GCM's native nonce size
PSEUDONYM_HEX_DIGITS = 32  # 128 bits: no collision expected below 10^18 values of one tenant
IPV4_PREFIX_BITS = 24
IPV6_PREFIX_BITS = 48
_KEY_ID = re.compile(r"^k([1-9][0-9]{0,3})$")


class Keyring:
    """Key-encryption keys by number. New ciphertext uses the newest, pseudonyms the oldest.

    Pseudonyms must stay equal over time or joins break; so adding `k2` renews wrapping and sealing alone, and
    taking `k1` out is what changes every pseudonym (their prefix `p<number>_` tells).
    """

    def __init__(self, keys: Mapping[str, str]) -> None:
        """Take keys as `Settings.keys()` gives them: `k<number>` → base64 of 32 bytes.

        Raises:
            SettingsError: an id or a key has not that shape, or there is none.
        """
        self._keys = {key_number(key_id): _key_bytes(key_id, text) for key_id, text in keys.items()}
        if not self._keys:
            raise SettingsError("the keyring is empty: UNMOGROWP_KEYRING needs at least one key")
        self.pseudonym_version = min(self._keys)
        self.sealing_version = max(self._keys)

    def derive(self, version: int, tenant_id: str, purpose: str) -> bytes:
        """The 32-byte key of a tenant for one purpose.

        Raises:
            SettingsError: that version is not in the keyring.
        """
        if version not in self._keys:
            raise SettingsError(f"key k{version} of tenant {tenant_id} is not in the keyring: put it back")
        info = f"unmogrowp/v1/{purpose}/{tenant_id}".encode()
        return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info).derive(self._keys[version])


class TenantPii:
    """One tenant's pseudonyms and seals."""

    def __init__(self, keyring: Keyring, tenant_id: str) -> None:
        self.tenant_id = tenant_id
        self._keyring = keyring
        self._pseudonym_key = keyring.derive(keyring.pseudonym_version, tenant_id, "pseudonym")
        self._prefix = f"p{keyring.pseudonym_version}_"

    def pseudonym(self, kind: str, value: str) -> str:
        """The token that stands for a value: equal for equal values of a kind, addresses by network."""
        return self.fingerprint(kind, truncated_ip(value) if kind == "ip" else value)

    def fingerprint(self, kind: str, value: str) -> str:
        """As `pseudonym`, of the whole value."""
        message = f"{kind}\0{value}".encode()
        return (
            self._prefix
            + hmac.digest(self._pseudonym_key, message, hashlib.sha256).hex()[:PSEUDONYM_HEX_DIGITS]
        )

    def seal(self, plain: bytes, context: str) -> bytes:
        """`plain` encrypted under the tenant's key, bound to `context` (what and where it is)."""
        version = self._keyring.sealing_version
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._cipher(version)
        return version.to_bytes(2, "big") + nonce + cipher.encrypt(nonce, plain, self._bound(context))

    def unseal(self, sealed: bytes, context: str) -> bytes:
        """What `seal` was given.

        Raises:
            ArtifactCorruptError: it was sealed for another tenant or context, or was changed.
            SettingsError: its key is no longer in the keyring.
        """
        version = int.from_bytes(sealed[:2], "big")
        nonce, ciphertext = sealed[2 : 2 + NONCE_BYTES], sealed[2 + NONCE_BYTES :]
        try:
            return self._cipher(version).decrypt(nonce, ciphertext, self._bound(context))
        except (InvalidTag, ValueError) as error:
            raise ArtifactCorruptError(
                f"a sealed value of tenant {self.tenant_id} ({context}) is damaged, or not its own"
            ) from error

    def _cipher(self, version: int) -> AESGCM:
        return _cipher(self._keyring, version, self.tenant_id)

    def _bound(self, context: str) -> bytes:
        return f"{self.tenant_id}\0{context}".encode()


def truncated_ip(text: str) -> str:
    """The network an address lies in (/24, /48), the address given as valid text; other text as it is."""
    network, _, host = text.rpartition(".")
    if text.isascii() and host.isdigit() and network.count(".") == 2 and ":" not in text:  # noqa: PLR2004 - a.b.c.d
        return f"{network}.0/{IPV4_PREFIX_BITS}"  # 0.3 instead of 14 µs for what nearly all addresses are
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if address.version == 6 and address.ipv4_mapped is not None:  # noqa: PLR2004 - an IP version is its name
        address = address.ipv4_mapped
    bits = IPV4_PREFIX_BITS if address.version == 4 else IPV6_PREFIX_BITS  # noqa: PLR2004 - as above
    return str(ipaddress.ip_network((address, bits), strict=False))


# 4,096 tenants' keys: a derivation costs 8 µs and every quarantined event and new subject asks for it
@lru_cache(maxsize=4096)
def _cipher(keyring: Keyring, version: int, tenant_id: str) -> AESGCM:
    return AESGCM(keyring.derive(version, tenant_id, "seal"))


def key_number(key_id: str) -> int:
    """The number in a key's id.

    Raises:
        SettingsError: the id is not `k<number>`.
    """
    match = _KEY_ID.match(key_id)
    if match is None:
        raise SettingsError(f"key id {key_id!r} in UNMOGROWP_KEYRING must be k<number>, e.g. k1")
    return int(match.group(1))


def _key_bytes(key_id: str, text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(f"key {key_id} in UNMOGROWP_KEYRING must be base64 of {KEY_BYTES} bytes")
    return key
