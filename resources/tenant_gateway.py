"""The way out to a tenant's plane: signed, idempotent pushes of marts and scores.

Reads the tenant's own credentials (`global.json`), checks that a body holds that tenant's rows and nothing
else, signs and sends. What is worth pushing, and the record of what a plane has
acknowledged, belong in `assets/exports.py`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from resources.destinations.attempts import Attempts, NotTakenError, retry_after_s
from resources.errors import (
    ContractError,
    DeliveryRefusedError,
    MixedTenantsError,
    PermanentError,
    ServiceUnavailableError,
)
from resources.plane_files import PlaneFiles
from resources.registry.destination_store import PLANE

if TYPE_CHECKING:
    import httpx

    from resources.settings import Settings

PARQUET_TYPE = "application/vnd.apache.parquet"
TIMEOUT_S = 30.0
RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class TenantTarget:
    """Where one tenant's plane is and how to speak to it. `repr` shows no secret."""

    tenant_id: str
    plane_url: str
    service_token: str
    signing_key: str

    @property
    def fingerprint(self) -> str:
        """Names this plane instance: another one (re-provisioned, new keys) has acknowledged nothing yet."""
        text = f"{self.tenant_id}|{self.plane_url}|{self.signing_key}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"TenantTarget({self.tenant_id!r}, {self.plane_url!r})"


@dataclass(frozen=True)
class _Push:
    """One request of the push protocol, unsigned; `what` names it in errors."""

    method: str
    path: str
    body: bytes
    content_type: str
    idempotency_key: str
    restatement: int
    what: str


class TenantGateway:
    """Pushes to the planes of these settings. Holds no connection; safe to share between threads."""

    def __init__(
        self, settings: Settings, attempts: Attempts | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Take where planes' credentials are, how often to try, and how long to wait for an answer."""
        self._timeout_s = timeout_s
        self._tenants_dir = settings.tenants_dir
        self._attempts = attempts or Attempts()

    def target(self, tenant_id: str) -> TenantTarget | None:
        """The tenant's plane, None when none is provisioned.

        Raises:
            ContractError: its `global.json` is damaged.
        """
        path = PlaneFiles(self._tenants_dir, tenant_id).global_credentials
        try:
            document = json.loads(path.read_text())
            return TenantTarget(
                tenant_id, document["plane_url"], document["service_token"], document["signing_key"]
            )
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ContractError(
                f"tenant {tenant_id}: its global.json is damaged; provision the tenant again"
            ) from error

    def push_mart(
        self,
        tenant_id: str,
        mart: str,
        date: dt.date,
        parquet_bytes: bytes,
        *,
        idempotency_key: str,
        restatement: int = 0,
    ) -> int:
        """Make this Parquet file the plane's (mart, date); the rows the plane counted.

        Raises:
            MixedTenantsError: a row names another tenant; nothing was sent.
            CircuitOpenError: the plane is left alone now.
            ServiceUnavailableError: the plane stayed away.
            DeliveryRefusedError: it refuses the file.
            PermanentError: there is no plane.
        """
        assert_mart_is_of(tenant_id, date, parquet_bytes)
        path = f"/api/v1/marts/{mart}/{date.isoformat()}"
        what = f"{mart} of {date}"
        push = _Push("PUT", path, parquet_bytes, PARQUET_TYPE, idempotency_key, restatement, what)
        return self._send(tenant_id, push)

    def push_scores(
        self,
        tenant_id: str,
        *,
        model: str,
        as_of: dt.date,
        rows: Sequence[Mapping[str, Any]],
        generated_at: dt.datetime,
        idempotency_key: str,
        restatement: int = 0,
    ) -> int:
        """Make these rows the model's scores as of a day; raises as `push_mart`.

        A row has `tenant_id`, `user_id` and `score`; whatever else it has is sent as the item's features.
        """
        document = {
            "tenantId": tenant_id,
            "model": model,
            "generatedAt": generated_at.isoformat(),
            "asOf": as_of.isoformat(),
            "items": score_items(tenant_id, as_of, rows),
        }
        body = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
        path, what = "/api/v1/ml/scores", f"scores as of {as_of}"
        push = _Push("POST", path, body, "application/json", idempotency_key, restatement, what)
        return self._send(tenant_id, push)

    def _send(self, tenant_id: str, push: _Push) -> int:
        import httpx  # noqa: PLC0415 - 0.3 s of import, wanted only where something is pushed

        target = self.target(tenant_id)
        if target is None:
            raise PermanentError(
                f"tenant {tenant_id}: no plane to push {push.what} to; provision the tenant first"
            )
        with httpx.Client(base_url=target.plane_url, timeout=self._timeout_s, trust_env=False) as client:

            def once() -> int:
                return _accepted_rows(_attempt(client, target, push), tenant_id, push.what)

            try:
                return self._attempts.make(tenant_id, PLANE, once)
            except NotTakenError as error:
                raise ServiceUnavailableError(
                    f"tenant {tenant_id}: its plane did not take {push.what} ({error}); it is tried again by "
                    "itself: `unmogrowp exports status` shows when"
                ) from error


def signature_header(
    signing_key: str, method: str, path: str, body: bytes, now_s: int | None = None
) -> dict[str, str]:
    """`X-Signature: t=<unix seconds>,v1=<hex>`, HMAC-SHA-256 over `<t>.<method>.<path>.` and the body."""
    moment = int(time.time()) if now_s is None else now_s
    message = f"{moment}.{method}.{path}.".encode() + body
    digest = hmac.new(signing_key.encode(), message, hashlib.sha256).hexdigest()
    return {"X-Signature": f"t={moment},v1={digest}"}


def score_items(tenant_id: str, as_of: dt.date, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The protocol's items of these rows.

    Raises:
        MixedTenantsError: a row names another tenant.
    """
    strangers = {str(row["tenant_id"]) for row in rows} - {tenant_id}
    if strangers:
        raise _mixed(tenant_id, f"the score set of {as_of}", strangers)
    own = {"tenant_id", "user_id", "score"}
    return [
        {
            "userId": row["user_id"],
            "score": row["score"],
            "features": {name: value for name, value in row.items() if name not in own},
        }
        for row in rows
    ]


def assert_mart_is_of(tenant_id: str, date: dt.date, parquet_bytes: bytes) -> None:
    """Pass when every row is of this tenant and date.

    Raises:
        MixedTenantsError: a row names another tenant.
        ContractError: the file cannot be read, or a row is of another date.
    """
    import pyarrow as pa  # noqa: PLC0415 - heavy, wanted only where something is pushed
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        keys = pq.read_table(pa.BufferReader(parquet_bytes), columns=["tenant_id", "event_date"])
        tenants = {str(tenant) for tenant in keys["tenant_id"].unique().to_pylist()}
        dates = {str(day) for day in keys["event_date"].unique().to_pylist()}
    except (pa.ArrowException, KeyError, OSError) as error:
        raise ContractError(
            f"tenant {tenant_id}: the export of {date} is no mart file; export it again"
        ) from error
    if tenants - {tenant_id}:
        raise _mixed(tenant_id, f"the mart file of {date}", tenants - {tenant_id})
    if others := dates - {str(date)}:
        raise ContractError(
            f"tenant {tenant_id}: the export of {date} holds rows of {sorted(others)}; export it again"
        )


def _attempt(client: httpx.Client, target: TenantTarget, push: _Push) -> httpx.Response:
    """One signed request and its answer.

    Raises:
        NotTakenError: there was none, or one that may be another later.
    """
    import httpx  # noqa: PLC0415 - see _send

    headers = {
        "Authorization": f"Bearer {target.service_token}",
        "X-Tenant-ID": target.tenant_id,
        "X-Export-Restatement": str(push.restatement),
        "Idempotency-Key": push.idempotency_key,
        "Content-Type": push.content_type,
        **signature_header(target.signing_key, push.method, push.path, push.body),
    }
    try:
        answer = client.request(push.method, push.path, content=push.body, headers=headers)
    except httpx.TransportError as error:
        is_timeout = isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout)
        raise NotTakenError(type(error).__name__, is_timeout=is_timeout) from error
    if answer.status_code in RETRYABLE_STATUSES:
        wait_s = retry_after_s(answer.headers.get("Retry-After"))
        raise NotTakenError(f"status {answer.status_code}", retry_after_s=wait_s)
    return answer


def _accepted_rows(answer: httpx.Response, tenant_id: str, what: str) -> int:
    if not answer.is_success:
        raise DeliveryRefusedError(
            f"tenant {tenant_id}: its plane refused {what} with {answer.status_code}: {_detail(answer)}"
        )
    try:
        return int(answer.json()["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise DeliveryRefusedError(
            f"tenant {tenant_id}: its plane answered {answer.status_code} to {what} without a row count; "
            "check that plane_url is a tenant plane"
        ) from error


def _detail(answer: httpx.Response) -> str:
    """The problem document's detail, or the start of whatever came."""
    try:
        document = answer.json()
        return str(document.get("detail") or document.get("title"))
    except (ValueError, AttributeError):
        return answer.text[:200]


def _mixed(tenant_id: str, what: str, strangers: set[str]) -> MixedTenantsError:
    return MixedTenantsError(
        f"tenant {tenant_id}: {what} holds rows of {sorted(strangers)}; nothing was sent; "
        "materialise it again"
    )
