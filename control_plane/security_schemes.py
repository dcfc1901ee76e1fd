"""What the OpenAPI document says beside the routes: how to authenticate, and the idempotency key of every POST."""

from __future__ import annotations

from typing import Any

from control_plane.guard import ACTION
from control_plane.kept_answers import HEADER

SCHEMES = {
    "accessToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "an access token of the OIDC issuer; embedded: of `/oauth/token`",
    },
    "exportKey": {"type": "http", "scheme": "bearer", "description": "a tenant's key of kind `export`"},
}
_IDEMPOTENCY_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "the same key and request again within 24 hours: the same answer, and nothing is done",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def documented(document: dict[str, Any]) -> dict[str, Any]:
    """The document with both."""
    document["components"].setdefault("securitySchemes", {}).update(SCHEMES)
    for item in document["paths"].values():
        if ACTION in item.get("post", {}):
            item["post"].setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
    return document
