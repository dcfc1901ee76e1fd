"""Pushes over real HTTP, against a recorder and a tenant plane: signed, idempotent, retried, refused."""

import datetime as dt
import hashlib
import hmac
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from resources.destinations.attempts import Attempts
from resources.errors import ContractError, MixedTenantsError, PermanentError, ServiceUnavailableError
from resources.settings import Settings
from resources.tenant_gateway import TenantGateway, signature_header
from tenant_plane.push import verified_signature
from tests.support.served_app import served
from tests.unit.resources.served import SERVICE_TOKEN, SIGNING_KEY, served_plane, write_credentials

DAY = dt.date(2026, 11, 3)
GENERATED = dt.datetime(2026, 11, 4, tzinfo=dt.UTC)


@dataclass
class Recorder:
    """A receiver that checks the signature by its own arithmetic and answers what it is told to."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, dict[str, Any], dict[str, str]]] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.api_route("/{path:path}", methods=["PUT", "POST"])
        async def receive(request: Request) -> JSONResponse:
            body = await request.body()
            moment, _, given = request.headers["x-signature"].partition(",v1=")
            message = f"{moment.removeprefix('t=')}.{request.method}.{request.url.path}.".encode() + body
            expected = hmac.new(SIGNING_KEY.encode(), message, hashlib.sha256).hexdigest()
            signed = hmac.compare_digest(given, expected)
            self.requests.append(
                {"path": request.url.path, "headers": dict(request.headers), "body": body, "signed": signed}
            )
            status, document, headers = self.answers.pop(0) if self.answers else (200, {"rows": 7}, {})
            return JSONResponse(document, status, headers)

        return app


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


@pytest.fixture
def recorder(settings: Settings) -> Iterator[Recorder]:
    recorder = Recorder()
    with served(recorder.app()) as url:
        write_credentials(settings.tenants_dir, "t1", url)
        yield recorder


def gateway(settings: Settings) -> TenantGateway:
    return TenantGateway(settings, Attempts(count=3, base_delay_s=0.01))


def kpi_file(tenant_id: str = "t1", day: dt.date = DAY) -> bytes:
    numbers = ["events", "active_users", "new_users", "sessions", "purchases", "revenue_micros"]
    row: dict[str, Any] = {"tenant_id": [tenant_id], "event_date": [day]} | {name: [1] for name in numbers}
    buffer = io.BytesIO()
    pq.write_table(pa.table(row | {"purchases_other_currency": [0]}), buffer)
    return buffer.getvalue()


def push(settings: Settings, content: bytes | None = None, key: str = "k") -> int:
    return gateway(settings).push_mart(
        "t1", "kpi_daily", DAY, kpi_file() if content is None else content, idempotency_key=key
    )


def test_a_push_carries_token_tenant_key_and_valid_signature(settings: Settings, recorder: Recorder) -> None:
    assert push(settings, key="t1:kpi") == 7
    (request,) = recorder.requests
    assert request["path"] == "/api/v1/marts/kpi_daily/2026-11-03"
    assert request["signed"] is True
    assert request["body"] == kpi_file()
    assert request["headers"]["authorization"] == f"Bearer {SERVICE_TOKEN}"
    assert request["headers"]["x-tenant-id"] == "t1"
    assert request["headers"]["idempotency-key"] == "t1:kpi"
    assert request["headers"]["content-type"] == "application/vnd.apache.parquet"


def test_scores_are_the_protocol_s_json(settings: Settings, recorder: Recorder) -> None:
    rows = [{"tenant_id": "t1", "user_id": "u", "score": 1.5, "sessions": 3, "ctit_ms": None}]
    rows_taken = gateway(settings).push_scores(
        "t1", model="ltv", as_of=DAY, rows=rows, generated_at=GENERATED, idempotency_key="k"
    )
    assert rows_taken == 7
    assert json.loads(recorder.requests[0]["body"]) == {
        "tenantId": "t1",
        "model": "ltv",
        "generatedAt": "2026-11-04T00:00:00+00:00",
        "asOf": "2026-11-03",
        "items": [{"userId": "u", "score": 1.5, "features": {"sessions": 3, "ctit_ms": None}}],
    }


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_repeated_with_the_same_key_and_body(
    settings: Settings, recorder: Recorder, status: int
) -> None:
    recorder.answers = [(status, {}, {"Retry-After": "0"})] * 2
    assert push(settings) == 7
    assert len(recorder.requests) == 3
    assert len({request["headers"]["idempotency-key"] for request in recorder.requests}) == 1
    assert all(request["signed"] for request in recorder.requests)


def test_a_plane_that_stays_away_is_a_retryable_error_that_names_it(settings: Settings) -> None:
    write_credentials(settings.tenants_dir, "t1", "http://127.0.0.1:9")
    with pytest.raises(ServiceUnavailableError, match=r"tenant t1.*kpi_daily of 2026-11-03.*ConnectError"):
        push(settings)


def test_a_plane_that_keeps_failing_is_given_up(settings: Settings, recorder: Recorder) -> None:
    recorder.answers = [(500, {}, {})] * 10
    with pytest.raises(ServiceUnavailableError, match="status 500"):
        push(settings)
    assert len(recorder.requests) == 3


def test_a_refusal_is_permanent_and_says_the_problem_s_detail(settings: Settings, recorder: Recorder) -> None:
    recorder.answers = [(422, {"title": "no", "detail": "column roas is missing"}, {})]
    with pytest.raises(PermanentError, match="422: column roas is missing"):
        push(settings)
    assert len(recorder.requests) == 1


def test_rows_of_another_tenant_are_never_sent(settings: Settings, recorder: Recorder) -> None:
    with pytest.raises(MixedTenantsError, match="t2"):
        push(settings, kpi_file("t2"))
    rows = [{"tenant_id": "t2", "user_id": "u", "score": 1.0}]
    with pytest.raises(MixedTenantsError, match="t2"):
        gateway(settings).push_scores(
            "t1", model="ltv", as_of=DAY, rows=rows, generated_at=GENERATED, idempotency_key="k"
        )
    assert recorder.requests == []


def test_another_date_or_an_unreadable_file_is_never_sent(settings: Settings, recorder: Recorder) -> None:
    for content in (kpi_file(day=DAY + dt.timedelta(days=1)), b"no parquet", b""):
        with pytest.raises(ContractError):
            push(settings, content)
    assert recorder.requests == []


def test_a_tenant_without_a_plane_has_no_target_and_a_push_says_so(settings: Settings) -> None:
    assert gateway(settings).target("t1") is None
    with pytest.raises(PermanentError, match="provision"):
        push(settings)
    with pytest.raises(ContractError):
        gateway(settings).target("../t1")


def test_a_damaged_credentials_file_is_a_clear_error(settings: Settings) -> None:
    write_credentials(settings.tenants_dir, "t1", "http://127.0.0.1:9")
    (settings.tenants_dir / "t1" / "global.json").write_text('{"plane_url": ')
    with pytest.raises(ContractError, match=r"global\.json"):
        gateway(settings).target("t1")


def test_a_target_shows_no_secret_and_changes_its_fingerprint_with_its_keys(settings: Settings) -> None:
    write_credentials(settings.tenants_dir, "t1", "http://127.0.0.1:9")
    first = gateway(settings).target("t1")
    assert first is not None
    assert SERVICE_TOKEN not in f"{first!r}{first}"
    assert SIGNING_KEY not in f"{first!r}{first}"
    write_credentials(settings.tenants_dir, "t1", "http://127.0.0.1:9", signing_key="another")
    second = gateway(settings).target("t1")
    assert second is not None
    assert second.fingerprint != first.fingerprint


def test_the_signature_is_the_one_the_tenant_plane_verifies() -> None:
    header = signature_header(SIGNING_KEY, "PUT", "/p", b"body", now_s=1000)["X-Signature"]

    def verified(body: bytes) -> bytes:
        key = SIGNING_KEY.encode()
        return verified_signature(header, key=key, method="PUT", path="/p", body=body, now_s=1000.0)

    assert verified(b"body")
    with pytest.raises(PermanentError):
        verified(b"other")


def test_a_real_tenant_plane_takes_marts_and_scores_and_repetitions_change_nothing(
    settings: Settings, tmp_path: Path
) -> None:
    with served_plane(settings.tenants_dir, "t1", tmp_path / "plane"):
        assert push(settings, key="first") == 1
        assert push(settings, key="first") == 1
        rows = [{"tenant_id": "t1", "user_id": f"u{n}", "score": float(n), "sessions": n} for n in range(3)]
        for _ in range(2):
            taken = gateway(settings).push_scores(
                "t1", model="ltv", as_of=DAY, rows=rows, generated_at=GENERATED, idempotency_key="scores"
            )
            assert taken == 3
        with pytest.raises(PermanentError, match="refused"):
            gateway(settings).push_mart("t1", "no_such_mart", DAY, kpi_file(), idempotency_key="other")
