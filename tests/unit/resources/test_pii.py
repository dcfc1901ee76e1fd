"""Keyring, pseudonyms, seals and the vault."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from resources.errors import ArtifactCorruptError, SettingsError
from resources.pii import Keyring, TenantPii, truncated_ip
from resources.settings import Settings
from resources.vault import Original, open_vault

if TYPE_CHECKING:
    from pathlib import Path

K1 = base64.b64encode(bytes(32)).decode()
K2 = base64.b64encode(bytes([7] * 32)).decode()


def test_equal_values_have_equal_pseudonyms_within_tenant_and_kind_only() -> None:
    keyring = Keyring({"k1": K1})
    mine, other = TenantPii(keyring, "t123"), TenantPii(keyring, "t456")
    token = mine.pseudonym("device_id", "d")
    assert token == TenantPii(keyring, "t123").pseudonym("device_id", "d")
    assert token.startswith("p1_")
    assert len(token) == 35
    assert len({token, mine.pseudonym("user_id", "d"), other.pseudonym("device_id", "d")}) == 3


def test_a_new_key_seals_what_is_new_and_changes_no_pseudonym() -> None:
    before, after = TenantPii(Keyring({"k1": K1}), "t123"), TenantPii(Keyring({"k1": K1, "k2": K2}), "t123")
    assert before.pseudonym("device_id", "d") == after.pseudonym("device_id", "d")
    assert after.unseal(before.seal(b"x", "c"), "c") == b"x"
    with pytest.raises(SettingsError, match="key k2 of tenant t123"):
        before.unseal(after.seal(b"x", "c"), "c")


def test_a_seal_opens_for_its_tenant_and_context_unchanged_only() -> None:
    keyring = Keyring({"k1": K1})
    pii = TenantPii(keyring, "t123")
    sealed = pii.seal(b"secret", "quarantine/1")
    assert pii.unseal(sealed, "quarantine/1") == b"secret"
    for wrong in (sealed[:-1], sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:2]):
        with pytest.raises(ArtifactCorruptError):
            pii.unseal(wrong, "quarantine/1")
    with pytest.raises(ArtifactCorruptError):
        pii.unseal(sealed, "quarantine/2")
    with pytest.raises(ArtifactCorruptError):
        TenantPii(keyring, "t456").unseal(sealed, "quarantine/1")


@pytest.mark.parametrize("keys", [{}, {"k1": "short"}, {"main": K1}, {"k0": K1}, {"k1": "*" * 44}])
def test_a_keyring_of_another_shape_is_refused(keys: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="UNMOGROWP_KEYRING"):
        Keyring(keys)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("2001:DB8:0001:ffff::1", "2001:db8:1::/48"),
        ("::ffff:192.0.2.77", "192.0.2.0/24"),
        ("no address", "no address"),
    ],
)
def test_addresses_are_cut_to_their_network(address: str, network: str) -> None:
    assert truncated_ip(address) == network


def original(subject: str, value: str) -> Original:
    return Original(subject, "user_id", f"f_{value}", f"p_{value}", value)


def test_the_vault_keeps_each_original_once_per_subject(tmp_path: Path) -> None:
    vault = open_vault(Settings(home=tmp_path))
    assert vault.store("t123", [original("s1", "a"), original("s1", "b"), original("s2", "a")]) == 3
    assert vault.store("t123", [original("s1", "b"), original("s1", "c")]) == 1
    assert [item.value for item in vault.reveal("t123", "s1")] == ["a", "b", "c"]
    assert vault.reveal("t456", "s1") == []
    vault.close()
    again = open_vault(Settings(home=tmp_path))
    assert [item.value for item in again.reveal("t123", "s2")] == ["a"]
    again.close()


def test_an_erased_subject_is_never_kept_again_and_others_stay(tmp_path: Path) -> None:
    vault = open_vault(Settings(home=tmp_path))
    vault.store("t123", [original("s1", "a"), original("s2", "b")])
    assert vault.destroy("t123", "s1") == 1
    assert vault.destroy("t123", "s1") == 0
    assert vault.destroy("t123", "never seen") == 0
    assert vault.store("t123", [original("s1", "a"), original("never seen", "x")]) == 0
    assert vault.reveal("t123", "s1") == []
    assert [item.value for item in vault.reveal("t123", "s2")] == ["b"]
    vault.close()
