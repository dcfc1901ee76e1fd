"""`unmogrowp keyring …`: make, rotate and wrap the keys that pseudonymise and seal."""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from cli.output import emit, fail, stderr
from cli.stack import JsonOption
from resources.errors import SettingsError
from resources.keyring_kms import is_wrapped, new_wrapped_key, wrapped_key
from resources.pii import KEY_BYTES, Keyring, key_number
from resources.settings import KEYRING_FILE, Settings, load_settings

keyring_app = typer.Typer(help="Make, rotate and wrap the key-encryption keys.", no_args_is_help=True)
KmsKeyOption = Annotated[
    str | None,
    typer.Option("--kms-key-id", help="wrap by this AWS KMS key; without it UNMOGROWP_KMS_KEY_ID, if set"),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="write the keyring to this new file, mode 0600, instead of stdout"),
]


@keyring_app.command("new")
def new_command(kms_key_id: KmsKeyOption = None, out: OutOption = None, as_json: JsonOption = False) -> None:
    """A keyring of one new key, for UNMOGROWP_KEYRING of a new installation."""
    settings = _settings(kms_key_id)
    _give(with_new_key({}, settings), out, False, as_json)


@keyring_app.command("rotate")
def rotate_command(
    kms_key_id: KmsKeyOption = None, out: OutOption = None, as_json: JsonOption = False
) -> None:
    """The present keyring with a new newest key: it seals from now on; old seals open and pseudonyms stay."""
    settings = _settings(kms_key_id)
    _give(with_new_key(settings.stored_keys(), settings), *_target(settings, out), as_json)


@keyring_app.command("wrap")
def wrap_command(kms_key_id: KmsKeyOption = None, out: OutOption = None, as_json: JsonOption = False) -> None:
    """The present keyring with its plain keys wrapped by AWS KMS: the same keys, no longer readable at rest."""
    settings = _settings(kms_key_id)
    if settings.kms_key_id is None:
        raise SettingsError("wrapping needs a KMS key: give --kms-key-id or set UNMOGROWP_KMS_KEY_ID")
    stored = settings.stored_keys()
    Keyring(settings.keys())  # a keyring that does not open is not passed on
    wrapped = {key_id: _wrapped(value, settings) for key_id, value in stored.items()}
    _give(wrapped, *_target(settings, out), as_json)


def with_new_key(keys: dict[str, str], settings: Settings) -> dict[str, str]:
    """A keyring and one more key, numbered after its newest; wrapped where a KMS key is set.

    Raises:
        SettingsError: the keyring given does not open, or KMS refuses.
        ServiceUnavailableError: KMS does not answer now.
    """
    number = max((key_number(key_id) for key_id in keys), default=0) + 1
    if keys:
        Keyring(settings.keys())  # a keyring that does not open is not passed on
    if settings.kms_key_id is None:
        value = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    else:
        value = new_wrapped_key(settings.kms_key_id, settings.kms_region, settings.kms_endpoint)
    return {**keys, f"k{number}": value}


def _wrapped(value: str, settings: Settings) -> str:
    if is_wrapped(value):
        return value
    return wrapped_key(value, settings.kms_key_id or "", settings.kms_region, settings.kms_endpoint)


def _settings(kms_key_id: str | None) -> Settings:
    settings = load_settings()
    return settings.with_changes(kms_key_id=kms_key_id) if kms_key_id else settings


def _target(settings: Settings, out: Path | None) -> tuple[Path | None, bool]:
    """Where a changed keyring goes, and whether it may replace what is there: an embedded stack's own file."""
    if out is None and settings.keyring is None:
        return settings.secrets_dir / KEYRING_FILE, True
    return out, False


def _give(keys: dict[str, str], path: Path | None, may_replace: bool, as_json: bool) -> None:
    if path is None:
        emit({"keyring": keys}, as_json, lambda console: console.out(json.dumps(keys), highlight=False))
        stderr.print(
            "keep it in a secret store and give it as UNMOGROWP_KEYRING; restart what seals and lands"
        )
        return
    if path.exists() and not may_replace:
        fail(f"{path} exists and is not overwritten: name a new file")
    _write_secret(path, json.dumps(keys))
    payload = {"file": str(path), "keys": sorted(keys, key=key_number)}
    text = f"{path} holds {', '.join(payload['keys'])}; restart the processes that seal and land"
    emit(payload, as_json, lambda console: console.print(text, highlight=False))


def _write_secret(path: Path, text: str) -> None:
    """Replace a file by one of mode 0600, whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
