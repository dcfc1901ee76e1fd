"""Online scores over real HTTP, from a real MLflow champion, under real keys."""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from inference_api.app import create_app
from inference_api.messages import LtvFeatures
from inference_api.openapi import OPENAPI_FILE, openapi_json
from ml_assets.judging import judge
from ml_assets.labels import labelled
from ml_assets.ltv import TrainingSet, promote, register
from resources.feature_encoding import CATEGORICAL_FEATURES, NUMERIC_FEATURES
from resources.ltv_scorer import load_ltv_scorer
from resources.model_registry import ModelRegistry
from resources.registry import Registry, TenantState, key_id_of
from resources.settings import Settings
from tests.support.served_app import served
from tests.unit.ml_assets.synthetic_users import FIRST_DAY, HORIZON_DAYS, features, purchases_of


@dataclass
class Service:
    """A served application, its doors, and keys of two tenants of which `t1` has a champion."""

    url: str
    models: ModelRegistry
    registry: Registry
    keys: dict[str, str]
    frame: pl.DataFrame
    training: TrainingSet
    scrape_token: str

    def post(self, body: object, key: str | None = "t1", **headers: str) -> httpx.Response:
        if key is not None:
            headers["Authorization"] = f"Bearer {self.keys.get(key, key)}"
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
        return httpx.post(f"{self.url}/v1/score/ltv", content=content, headers=headers, trust_env=False)


def trained(models: ModelRegistry, training: TrainingSet) -> None:
    promote(models, register(models, training, judge(training.frame, None), "test"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), key_cache_s=0.0)
    registry, models = Registry(settings.registry_url), ModelRegistry(settings)
    registry.migrate()
    keys = {}
    for tenant_id in ("t1", "t2"):
        registry.request(tenant_id, "starter", "test")
        for state in (TenantState.PROVISIONING, TenantState.ACTIVE):
            registry.transition(tenant_id, state, actor="test")
        keys[tenant_id] = registry.mint_key(tenant_id, "export", "test")
        keys[f"{tenant_id}_ingest"] = registry.mint_key(tenant_id, "ingest", "test")
    users = features("t1", 900)
    frame = labelled(users, purchases_of(users), horizon_days=HORIZON_DAYS, currency="USD")
    training = TrainingSet("t1", frame, (FIRST_DAY,), HORIZON_DAYS, "USD", 1)
    trained(models, training)
    with served(create_app(settings, registry, models, champion_refresh_s=0.0)) as url:
        yield Service(url, models, registry, keys, frame, training, settings.scrape_token())
    registry.close()


def item(row: dict[str, Any]) -> dict[str, Any]:
    names = (*NUMERIC_FEATURES, *CATEGORICAL_FEATURES)
    return {"userId": row["user_id"], "features": {name: row[name] for name in names}}


def request_of(frame: pl.DataFrame, tenant_id: str = "t1") -> dict[str, Any]:
    return {"tenantId": tenant_id, "items": [item(row) for row in frame.iter_rows(named=True)]}


def test_the_service_answers_what_the_batch_asset_would_write(service: Service) -> None:
    users = service.frame.head(50)
    answer = service.post(request_of(users), **{"X-Tenant-ID": "t1"})
    assert answer.status_code == 200
    document = answer.json()
    expected = load_ltv_scorer(service.models, "t1").predict_micros(users)
    np.testing.assert_array_equal([each["score"] for each in document["items"]], expected)
    assert [each["userId"] for each in document["items"]] == users["user_id"].to_list()
    assert document["model"]["name"] == "ltv_t1"
    assert document["horizonDays"] == HORIZON_DAYS
    assert service.post({"tenantId": "t1", "items": []}).json()["items"] == []


def test_a_user_alone_gets_the_score_it_gets_among_many(service: Service) -> None:
    users = service.frame.head(5)
    together = service.post(request_of(users)).json()["items"]
    alone = [service.post(request_of(users[row])).json()["items"][0] for row in range(5)]
    assert alone == together


@pytest.mark.parametrize(
    ("key", "tenant_id", "header", "status"),
    [
        (None, "t1", None, 401),
        ("umg_export_unknown", "t1", None, 401),
        ("t1_ingest", "t1", None, 401),
        ("t1", "t2", None, 403),
        ("t1", "t1", "t2", 403),
        ("t2", "t1", "t2", 403),
        ("t2", "t2", "t2", 404),
    ],
)
def test_a_key_opens_its_own_tenant_s_model_and_no_other(
    service: Service, key: str | None, tenant_id: str, header: str | None, status: int
) -> None:
    headers = {} if header is None else {"X-Tenant-ID": header}
    answer = service.post(request_of(service.frame.head(1), tenant_id), key, **headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def test_a_revoked_key_opens_nothing(service: Service) -> None:
    key = service.registry.mint_key("t1", "export", "test")
    assert service.post(request_of(service.frame.head(1)), key).status_code == 200
    service.registry.revoke_key("t1", key_id_of(key), "test")
    assert service.post(request_of(service.frame.head(1)), key).status_code == 401


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"sessions": None}, "/items/0/features/sessions"),
        ({"sessions": -1}, "/items/0/features/sessions"),
        ({"hours_observed": 25}, "/items/0/features/hours_observed"),
        ({"surprise": 1}, "/items/0/features/surprise"),
    ],
)
def test_a_wrong_feature_is_refused_with_a_pointer_and_without_its_value(
    service: Service, change: dict[str, object], pointer: str
) -> None:
    body = request_of(service.frame.head(1))
    body["items"][0]["features"] |= change
    answer = service.post(body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"\xff", 400), (b"[]", 422), (b" " * 1_100_000, 413)]
)
def test_a_body_that_is_no_request_is_a_problem(service: Service, body: bytes, status: int) -> None:
    answer = service.post(body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_more_items_than_allowed_are_refused(service: Service) -> None:
    one = item(service.frame.row(0, named=True))
    assert service.post({"tenantId": "t1", "items": [one] * 1001}).status_code in {413, 422}


def test_a_promotion_is_served_and_a_corrupt_champion_is_not(service: Service) -> None:
    before = service.post(request_of(service.frame.head(1))).json()["model"]["version"]
    newer = dataclasses.replace(service.training, horizon_days=HORIZON_DAYS + 1)
    trained(service.models, newer)
    answer = service.post(request_of(service.frame.head(1))).json()
    assert int(answer["model"]["version"]) == int(before) + 1
    assert answer["horizonDays"] == HORIZON_DAYS + 1

    trained(service.models, dataclasses.replace(service.training, horizon_days=HORIZON_DAYS + 2))
    champion = service.models.by_alias("ltv_t1", "champion")
    file = Path(champion.source.removeprefix("file://")) / "model.onnx"
    good = file.read_bytes()
    file.write_bytes(good + b"\0")
    refused = service.post(request_of(service.frame.head(1)))
    assert refused.status_code == 503
    assert "model.onnx" in refused.json()["detail"]
    file.write_bytes(good)
    assert service.post(request_of(service.frame.head(1))).status_code == 200


def test_health_metrics_and_traceparent(service: Service) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for path in ("/health/live", "/health/ready"):
        answer = httpx.get(f"{service.url}{path}", headers={"traceparent": trace}, trust_env=False)
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert answer.headers["traceparent"] == trace
    service.post(request_of(service.frame.head(3)))
    scrape = {"Authorization": f"Bearer {service.scrape_token}"}
    metrics = httpx.get(f"{service.url}/metrics", headers=scrape, trust_env=False).text
    assert 'route="/v1/score/ltv"' in metrics
    assert service.keys["t1"] not in metrics
    tenants_key = {"Authorization": f"Bearer {service.keys['t1']}"}
    assert httpx.get(f"{service.url}/metrics", headers=tenants_key, trust_env=False).status_code == 401
    assert (
        httpx.get(f"{service.url}/nowhere", trust_env=False).headers["content-type"]
        == "application/problem+json"
    )


def test_the_request_names_exactly_the_features_a_model_is_trained_on() -> None:
    assert set(LtvFeatures.model_fields) == {*NUMERIC_FEATURES, *CATEGORICAL_FEATURES}


def test_the_committed_openapi_is_the_service_s() -> None:
    assert OPENAPI_FILE.read_text() == openapi_json()
