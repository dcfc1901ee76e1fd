"""The online scoring service: `create_app(settings, …)` and its one business route; parts are beside it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from inference_api import observability, problems
from inference_api.champions import REFRESH_S, Champions
from inference_api.keys import Keys, assert_same_tenant
from inference_api.messages import ModelOut, ScoredItem, ScoreRequest, ScoreResponse
from resources.errors import AuthenticationError, AuthorizationError
from resources.ltv_scorer import LtvScorer
from resources.model_registry import ModelRegistry
from resources.notices import Notices, counts_written
from resources.registry import Registry, key_id_of
from resources.registry.access_trail import ANYBODY, denials_of, key_actor, note_refusal, refusal
from resources.settings import Settings

VERSION = "1.0.0"
SCORE = "score:ltv"  # what the audit trail calls asking for scores
_bearer = HTTPBearer(auto_error=False, description="a key of kind `export` or `service`")


@dataclass(frozen=True)
class Caller:
    """The tenant whose key asks, and what the audit trail calls it."""

    tenant_id: str
    actor: str


@dataclass(frozen=True)
class Inference:
    """What the routes of one process share."""

    registry: Registry
    models: ModelRegistry
    keys: Keys
    champions: Champions
    metrics: observability.InferenceMetrics
    denials: Notices

    def ping(self) -> None:
        """Raise when keys or models cannot be looked up now."""
        self.registry.ping()
        self.models.ping()

    def assert_own(self, caller: Caller, named_tenant: str | None) -> None:
        """Pass when the request names no tenant but the key's own; the audit trail tells of one that does.

        Raises:
            AuthorizationError: it names another.
        """
        try:
            assert_same_tenant(caller.tenant_id, named_tenant)
        except AuthorizationError as error:
            note_refusal(self.denials, refusal(caller.actor, SCORE, named_tenant, str(error)))
            raise


def inference_of(request: Request) -> Inference:
    """What `create_app` put on the app."""
    found = request.app.state.inference
    if not isinstance(found, Inference):
        raise TypeError("the app was not made by inference_api.app.create_app")
    return found


InferenceDep = Annotated[Inference, Depends(inference_of)]


def key_holder(
    inference: InferenceDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    x_tenant_id: Annotated[str | None, Header(description="if given, the key's own tenant")] = None,
) -> Caller:
    """The tenant whose key this is.

    Raises:
        AuthenticationError: the key is missing, unknown or revoked.
        AuthorizationError: `X-Tenant-ID` names another tenant.
    """
    try:
        if credentials is None:
            raise AuthenticationError("present an export or service key as `Authorization: Bearer …`")
        tenant_id = inference.keys.tenant_of(credentials.credentials)
    except AuthenticationError as error:
        note_refusal(inference.denials, refusal(ANYBODY, SCORE, x_tenant_id, str(error)))
        raise
    caller = Caller(tenant_id, key_actor(key_id_of(credentials.credentials)))
    inference.assert_own(caller, x_tenant_id)
    return caller


def create_app(
    settings: Settings,
    registry: Registry | None = None,
    models: ModelRegistry | None = None,
    *,
    champion_refresh_s: float = REFRESH_S,
) -> FastAPI:
    """The application over a migrated tenant registry and a model registry."""
    known_tenants = registry or Registry.from_settings(settings)
    denials = denials_of(known_tenants)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with counts_written(denials):
            yield

    app = FastAPI(
        title="UnMoGrowP inference",
        version=VERSION,
        description="Online scores of a tenant's champion. Errors are RFC 9457 problem documents.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    known_models = models or ModelRegistry(settings)
    metrics = observability.InferenceMetrics()
    app.state.inference = Inference(
        registry=known_tenants,
        models=known_models,
        keys=Keys(known_tenants, settings.key_cache_s),
        champions=Champions(known_models, champion_refresh_s),
        metrics=metrics,
        denials=denials,
    )
    problems.install(app)
    observability.install(app, metrics, settings.scrape_token())
    errors = problems.responses(400, 401, 403, 404, 413, 422, 503)
    app.post("/v1/score/ltv", tags=["scores"], responses=errors)(score_ltv)
    return app


def score_ltv(
    request: ScoreRequest, inference: InferenceDep, caller: Annotated[Caller, Depends(key_holder)]
) -> ScoreResponse:
    """Predicted revenue after the install day of up to 1,000 users, by the tenant's champion."""
    inference.assert_own(caller, request.tenant_id)
    tenant_id = caller.tenant_id
    champion = inference.champions.of(tenant_id)
    scores = predicted(champion, request)
    inference.metrics.scored.labels(tenant_id, champion.version).inc(len(scores))
    return ScoreResponse(
        tenant_id=tenant_id,
        model=ModelOut(name=champion.name, version=champion.version),
        horizon_days=champion.horizon_days,
        items=scores,
    )


def predicted(champion: LtvScorer, request: ScoreRequest) -> list[ScoredItem]:
    """The champion's predictions in the order of the request."""
    import polars as pl  # noqa: PLC0415 - 0.4 CPU s of import, not needed to start serving

    if not request.items:
        return []
    rows = [item.features.model_dump() for item in request.items]
    scores = champion.predict_micros(pl.DataFrame(rows, infer_schema_length=None))
    return [
        ScoredItem(user_id=item.user_id, score=float(score))
        for item, score in zip(request.items, scores, strict=True)
    ]
