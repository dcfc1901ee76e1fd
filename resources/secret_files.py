"""Secrets that a home makes for itself on first use, in files of mode 0600. Which there are, `settings` says."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from resources.errors import SettingsError


def new_token() -> str:
    """A token nobody can guess: 32 random bytes."""
    return secrets.token_urlsafe(32)


def new_keyring() -> str:
    """A keyring of one random key, as `parsed_keyring` reads it."""
    return json.dumps({"k1": base64.b64encode(secrets.token_bytes(32)).decode()})


def parsed_keyring(text: str) -> dict[str, str]:
    """Keys by id.

    Raises:
        SettingsError: the text is not a JSON object of strings.
    """
    try:
        keys = json.loads(text)
    except json.JSONDecodeError as error:
        raise SettingsError("UNMOGROWP_KEYRING must be a JSON object of key id to base64 key") from error
    if not isinstance(keys, dict) or not all(isinstance(value, str) for value in keys.values()):
        raise SettingsError("UNMOGROWP_KEYRING must be a JSON object of key id to base64 key")
    return keys


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """What the file holds; made on first use, once for all processes."""
    if not path.exists():
        draft = _draft(path, make())
        try:
            os.link(draft, path)  # the first of several processes wins; the others read its value
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()


def replaced_secret(path: Path, value: str) -> None:
    """Write the file anew, whole or not at all."""
    _draft(path, value).rename(path)


def _draft(path: Path, value: str) -> Path:
    """A file of mode 0600 beside the wanted one, with the value in it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(value)
    return draft
