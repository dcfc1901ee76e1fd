"""A receiver on a real port that counts what it takes by idempotency key or message id. No assertions here."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.served_app import served

HANG_S = 60.0


@dataclass
class Taken:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        """What tells one delivery from another."""
        return self.headers.get("idempotency-key") or self.headers.get("webhook-id", "")


@dataclass
class Receiver:
    """Takes what comes; `mood` is ok, hang, or a status to answer. `effects` counts what it has done, once per key."""

    mood: str = "ok"
    answers: dict[str, str] = field(default_factory=dict)
    arrived: list[Taken] = field(default_factory=list)
    effects: Counter[str] = field(default_factory=Counter)
    bodies: dict[str, set[bytes]] = field(default_factory=dict)
    url: str = ""

    @property
    def host(self) -> str:
        """`host:port`, as the setting of allowed hosts wants it."""
        return urlsplit(self.url).netloc

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/{path:path}", self._take, methods=["PUT", "POST"])])

    async def _take(self, request: Request) -> Response:
        taken = Taken(request.url.path, dict(request.headers), await request.body())
        self.arrived.append(taken)
        if self.mood == "hang":
            await asyncio.sleep(HANG_S)
        if self.mood != "ok":
            return JSONResponse({"title": "no"}, int(self.mood) if self.mood.isdigit() else 500, self.answers)
        self.bodies.setdefault(taken.key, set()).add(taken.body)
        if not self.effects[taken.key]:  # idempotent, as a receiver should be
            self.effects[taken.key] += 1
        return JSONResponse({"rows": 1})

    def messages(self) -> list[dict[str, Any]]:
        """The bodies of webhooks, as JSON."""
        return [json.loads(taken.body) for taken in self.arrived]


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver while it serves."""
    receiver = Receiver()
    with served(receiver.app()) as url:
        receiver.url = url
        yield receiver
