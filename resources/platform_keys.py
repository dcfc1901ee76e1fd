"""Keys of the platform itself, derived from the keyring. A tenant's keys are `resources.pii`'s."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.pii import Keyring

if TYPE_CHECKING:
    from resources.settings import Settings

PLATFORM = ""  # no tenant has this id, so no tenant's key is ever one of these
AUDIT_HEAD = "audit-head"
KEPT_ANSWERS = "kept-answers"


def platform_key(settings: Settings, purpose: str) -> bytes:
    """32 bytes for one purpose, from the oldest key: what was signed last year still verifies.

    Raises:
        SettingsError: the keyring is not one.
        ServiceUnavailableError: KMS, which wraps the keyring, does not answer now.
    """
    keyring = Keyring(settings.keys())
    return keyring.derive(keyring.pseudonym_version, PLATFORM, purpose)
