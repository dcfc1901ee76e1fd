"""A registered destination, opened: its config checked, its secrets sealed and unsealed, and what it can do.

Secrets are sealed under the tenant's key of the keyring and bound to the destination: those of one open nothing of
another's.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from resources.destination_settings import DestinationSettings
from resources.destinations import buckets, webhooks
from resources.destinations.addresses import resolved
from resources.destinations.buckets import Bucket
from resources.destinations.parcels import Parcel
from resources.destinations.webhooks import WebhookSecrets
from resources.destinations.wire import Wire
from resources.errors import DestinationError
from resources.pii import Keyring, TenantPii
from resources.registry.destination_store import Destination, new_destination_id
from resources.registry.store import Registry
from resources.settings import Settings

WEBHOOK = "webhook"
S3 = "s3"
_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9_\-./=]{0,200}")


@dataclass(frozen=True)
class Added:
    """A destination as registered; `secret` is shown this once, '' where the tenant brought its own."""

    destination: Destination
    secret: str = ""


class DestinationBook:
    """Destinations of every tenant: registering, testing, delivering."""

    def __init__(
        self, settings: Settings, registry: Registry, destination_settings: DestinationSettings
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._wire = Wire(destination_settings)

    def add_webhook(self, tenant_id: str, url: str, actor: str) -> Added:
        """Register a webhook under a new secret.

        Raises:
            DestinationError: the address may not be sent to.
            ServiceUnavailableError: its name cannot be resolved now.
        """
        resolved(url, self._wire.settings.allowed_hosts)
        secret = webhooks.new_secret()
        return Added(
            self._add(tenant_id, WEBHOOK, {"url": url}, asdict(WebhookSecrets(secret)), actor), secret
        )

    def add_bucket(self, tenant_id: str, bucket: Bucket, actor: str) -> Added:
        """Register a bucket; raises as `add_webhook`."""
        if _BUCKET_NAME.fullmatch(bucket.bucket) is None:
            raise DestinationError(
                "the bucket's name must be 3 to 63 lower-case letters, digits, dots and hyphens"
            )
        if _PREFIX.fullmatch(bucket.prefix) is None or ".." in bucket.prefix.split("/"):
            raise DestinationError("the prefix may hold letters, digits, _ - . = and /, and no `..`")
        resolved(bucket.endpoint, self._wire.settings.allowed_hosts)
        document = asdict(bucket)
        own = {name: document.pop(name) for name in ("access_key_id", "secret_access_key")}
        return Added(self._add(tenant_id, S3, document, own, actor))

    def rotate(self, tenant_id: str, destination_id: str, actor: str) -> Added:
        """A new secret of a webhook; the one before stays valid for a day.

        Raises:
            DestinationNotFoundError: the tenant has none of that id.
            DestinationError: it is no webhook: a bucket's key is rotated by registering it anew.
        """
        destination = self._registry.destination(tenant_id, destination_id)
        if destination.kind != WEBHOOK:
            raise DestinationError(
                "only webhooks have a secret of ours: register the bucket anew with its new key"
            )
        rotated = WebhookSecrets(**self._secrets(destination)).rotated(dt.datetime.now(dt.UTC))
        sealed = self._sealed(tenant_id, destination_id, asdict(rotated))
        self._registry.replace_destination_secrets(tenant_id, destination_id, sealed, actor)
        return Added(destination, rotated.secret)

    def test(self, destination: Destination) -> None:
        """Send something harmless; raises what delivering would."""
        if destination.kind == WEBHOOK:
            signing = WebhookSecrets(**self._secrets(destination))
            webhooks.ping(self._wire, destination.config["url"], signing, destination.tenant_id)
        else:
            buckets.probe(self._wire, self._bucket(destination))

    def deliver(self, destination: Destination, parcel: Parcel) -> None:
        """Send a parcel, once.

        Raises:
            NotTakenError: the receiver may take it later.
            DeliveryRefusedError: it says no.
            DestinationError: its address may not be sent to (any more).
        """
        if parcel.tenant_id != destination.tenant_id:
            raise DestinationError(
                f"an export of {parcel.tenant_id} does not go to another tenant's destination"
            )
        if destination.kind == WEBHOOK:
            signing = WebhookSecrets(**self._secrets(destination))
            webhooks.announce(self._wire, destination.config["url"], signing, parcel)
        else:
            buckets.upload(self._wire, self._bucket(destination), parcel)

    def _add(
        self, tenant_id: str, kind: str, config: Mapping[str, Any], own: Mapping[str, Any], actor: str
    ) -> Destination:
        destination_id = new_destination_id()
        sealed = self._sealed(tenant_id, destination_id, own)
        return self._registry.add_destination(
            tenant_id,
            destination_id=destination_id,
            kind=kind,
            config=config,
            sealed_secrets=sealed,
            actor=actor,
        )

    def _bucket(self, destination: Destination) -> Bucket:
        return Bucket(**destination.config, **self._secrets(destination))

    def _sealed(self, tenant_id: str, destination_id: str, own: Mapping[str, Any]) -> bytes:
        return self._pii(tenant_id).seal(json.dumps(own).encode(), _context(destination_id))

    def _secrets(self, destination: Destination) -> dict[str, str]:
        plain = self._pii(destination.tenant_id).unseal(
            destination.sealed_secrets, _context(destination.destination_id)
        )
        opened: dict[str, str] = json.loads(plain)
        return opened

    def _pii(self, tenant_id: str) -> TenantPii:
        return TenantPii(Keyring(self._settings.keys()), tenant_id)


def _context(destination_id: str) -> str:
    """What a destination's sealed secrets are bound to."""
    return f"destination/{destination_id}"
