"""Signed webhooks: an export is announced with its manifest. The scheme is Standard Webhooks.

Headers `webhook-id` (the same for every repetition: receivers count by it), `webhook-timestamp` (when this attempt
was signed; receivers refuse old ones) and `webhook-signature` (HMAC-SHA-256 over id, timestamp and body, once per
valid secret: during a rotation there are two).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
from base64 import b64encode
from dataclasses import dataclass, field

from standardwebhooks import Webhook

from resources.destinations.addresses import checked_url
from resources.destinations.parcels import Parcel
from resources.destinations.wire import Wire, check_taken

SECRET_BYTES = 32
ROTATION_OVERLAP = dt.timedelta(hours=24)  # how long the secret before is still signed with


@dataclass(frozen=True)
class WebhookSecrets:
    """The secret, and the one before while a rotation is under way. `repr` shows neither."""

    secret: str = field(repr=False)
    previous: str = field(default="", repr=False)
    previous_until: str = ""

    def valid(self, now: dt.datetime) -> list[str]:
        """The secrets to sign with, newest first."""
        is_rotating = bool(self.previous) and now < dt.datetime.fromisoformat(self.previous_until)
        return [self.secret, self.previous] if is_rotating else [self.secret]

    def rotated(self, now: dt.datetime) -> WebhookSecrets:
        """A new secret; this one stays valid for ROTATION_OVERLAP."""
        return WebhookSecrets(new_secret(), self.secret, (now + ROTATION_OVERLAP).isoformat())


def new_secret() -> str:
    """A secret nobody can guess, in the scheme's own writing."""
    return "whsec_" + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def announce(wire: Wire, url: str, signing: WebhookSecrets, parcel: Parcel) -> None:
    """Tell the receiver of the parcel.

    Raises:
        NotTakenError: the receiver may take it later.
        DeliveryRefusedError: it says no, or sends elsewhere.
        DestinationError: its address may not be sent to (any more).
    """
    digest = hashlib.sha256(parcel.idempotency_key.encode()).hexdigest()
    _post(wire, url, signing, f"msg_{digest[:32]}", parcel.announcement())


def ping(wire: Wire, url: str, signing: WebhookSecrets, tenant_id: str) -> None:
    """A message of type `ping`, each with an id of its own; raises as `announce`."""
    message: dict[str, object] = {"type": "ping", "data": {"tenantId": tenant_id}}
    _post(wire, url, signing, f"msg_{secrets.token_hex(16)}", message)


def signature_headers(
    signing: WebhookSecrets, message_id: str, body: bytes, now: dt.datetime
) -> dict[str, str]:
    """The scheme's three headers."""
    signatures = [Webhook(each).sign(message_id, now, body.decode()) for each in signing.valid(now)]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _post(wire: Wire, url: str, signing: WebhookSecrets, message_id: str, message: dict[str, object]) -> None:
    body = json.dumps(message, sort_keys=True, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "unmogrowp",
        **signature_headers(signing, message_id, body, dt.datetime.now(dt.UTC)),
    }
    host, _ = checked_url(url, wire.settings.allowed_hosts)
    check_taken(wire.send("POST", url, headers, body), host)
