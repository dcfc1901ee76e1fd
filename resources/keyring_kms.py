"""Keys of the keyring that AWS KMS wraps: making, wrapping and opening them. What keys are for is `resources.pii`'s.

A wrapped key stands in the keyring as `kms:<base64 ciphertext>`; the 32 bytes exist in memory alone. Every call
carries the same encryption context, so a ciphertext of another application does not open here, and AWS's audit
log tells keyring calls from others. The ciphertext names the KMS key it was made with, so keys wrapped by an
older KMS key open for as long as that one lives. Credentials are found by boto3 as everywhere (environment,
profile, instance role).
"""

from __future__ import annotations

import base64
import binascii
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from resources.errors import ServiceUnavailableError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

KMS_PREFIX = "kms:"
ENCRYPTION_CONTEXT = {"unmogrowp": "keyring"}
CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 10
ATTEMPTS = 3  # boto3's own, with its back-off; then the process's supervisor tries again
# What KMS answers when the same call may succeed later; everything else a person has to repair.
RETRYABLE_CODES = frozenset(
    {
        "DependencyTimeoutException",
        "KMSInternalException",
        "KeyUnavailableException",
        "LimitExceededException",
        "RequestTimeout",
        "ServiceUnavailable",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
SERVER_ERROR = 500


def is_wrapped(value: str) -> bool:
    """Whether a keyring's value is a key wrapped by KMS."""
    return value.startswith(KMS_PREFIX)


# Once per process: a landing, a replay and a vault ask again, KMS is 10 ms and a request fee away.
@lru_cache(maxsize=64)
def unwrapped(value: str, region: str | None, endpoint: str | None) -> str:
    """The base64 key in a wrapped value.

    Raises:
        SettingsError: it is no ciphertext of ours, or these credentials may not open it.
        ServiceUnavailableError: KMS is away or throttles; the same call may succeed later.
    """
    try:
        ciphertext = base64.b64decode(value.removeprefix(KMS_PREFIX), validate=True)
    except binascii.Error as error:
        raise SettingsError("a key in UNMOGROWP_KEYRING is kms: and not base64: wrap it again") from error
    with _told("open a key of UNMOGROWP_KEYRING"):
        answer = _client(region, endpoint).decrypt(
            CiphertextBlob=ciphertext, EncryptionContext=ENCRYPTION_CONTEXT
        )
    return base64.b64encode(answer["Plaintext"]).decode()


def new_wrapped_key(kms_key_id: str, region: str | None, endpoint: str | None) -> str:
    """A new wrapped key; its plain bytes are never on this machine until a process opens it.

    Raises:
        SettingsError: the KMS key is unknown or disabled, or these credentials may not use it.
        ServiceUnavailableError: KMS is away or throttles.
    """
    with _told(f"make a key under KMS key {kms_key_id}"):
        answer = _client(region, endpoint).generate_data_key_without_plaintext(
            KeyId=kms_key_id, KeySpec="AES_256", EncryptionContext=ENCRYPTION_CONTEXT
        )
    return KMS_PREFIX + base64.b64encode(answer["CiphertextBlob"]).decode()


def wrapped_key(plain: str, kms_key_id: str, region: str | None, endpoint: str | None) -> str:
    """A base64 key, wrapped: how a keyring that exists moves under KMS.

    Raises:
        SettingsError: as `new_wrapped_key`.
        ServiceUnavailableError: as `new_wrapped_key`.
    """
    with _told(f"wrap a key under KMS key {kms_key_id}"):
        answer = _client(region, endpoint).encrypt(
            KeyId=kms_key_id, Plaintext=base64.b64decode(plain), EncryptionContext=ENCRYPTION_CONTEXT
        )
    return KMS_PREFIX + base64.b64encode(answer["CiphertextBlob"]).decode()


def _client(region: str | None, endpoint: str | None) -> Any:
    import boto3  # noqa: PLC0415 - 0.3 CPU s of import, wanted only where a key is wrapped
    from botocore.config import Config  # noqa: PLC0415 - as above

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    return boto3.client("kms", region_name=region, endpoint_url=endpoint, config=config)


@contextmanager
def _told(purpose: str) -> Iterator[None]:
    """Turn boto3's errors into ours: who has to do what, and whether waiting helps."""
    from botocore import exceptions as aws  # noqa: PLC0415 - as in _client

    try:
        yield
    except aws.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in RETRYABLE_CODES or status >= SERVER_ERROR:
            raise ServiceUnavailableError(
                f"AWS KMS cannot {purpose} now ({code}): try again later"
            ) from error
        raise SettingsError(
            f"AWS KMS will not {purpose} ({code}): check UNMOGROWP_KMS_KEY_ID, the key's state and policy, and "
            "that these credentials may call it"
        ) from error
    except (aws.ConnectionError, aws.HTTPClientError) as error:
        raise ServiceUnavailableError(
            f"AWS KMS does not answer, so nothing can {purpose}: check the network and UNMOGROWP_KMS_ENDPOINT"
        ) from error
    except aws.BotoCoreError as error:  # no credentials, no region, …
        raise SettingsError(f"AWS KMS cannot be asked to {purpose}: {error}") from error
